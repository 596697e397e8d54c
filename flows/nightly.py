"""The scheduled retraining: as `retrain`, unless nothing changed."""

from prefect import flow

from flows.retrain import RunReport, concluded, run_stages
from flows.service.limits import only_run_on
from overlap.catalog import list_data
from overlap.config import RunConfig
from overlap.errors import WorkspaceLockedError
from overlap.io.location import Location
from overlap.workspace.pending import pending_work


@flow(name="nightly-retrain", flow_run_name="nightly-{config.data_name}-{config.preset}")
def nightly_retrain(config: RunConfig) -> RunReport | None:
    """Retrain where data or configuration changed; otherwise the run ends with the reason.

    Args:
        config: The run.

    Returns:
        What came of it; None where it was skipped, because the ensemble is published already or
        another run works on the workspace.
    """
    workspace = Location.of(config.workspace)
    try:
        with only_run_on(workspace, wait=False):
            listing = list_data(config.data)
            pending = pending_work(config, listing)
            if pending.published and not pending.anything:
                since = f"nothing changed since ensemble {pending.published}"
                return concluded(f"skipped: {since}", None)
            report = run_stages(config, listing, pending)
    except WorkspaceLockedError as error:
        return concluded(f"skipped: {error}", None)
    return concluded(report.headline, report)
