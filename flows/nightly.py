"""The scheduled retraining: like `retrain`, but skipped when nothing has changed."""

from prefect import flow

from flows.retrain import RunReport, concluded, run_stages
from flows.service.limits import only_run_on
from overlap.config import RunConfig
from overlap.errors import WorkspaceLockedError
from overlap.workspace.pending import pending_work
from overlap.workspace.workspace import Workspace
from tasks.progress import doing, followed


@flow(name="nightly-retrain", flow_run_name="nightly-{config.data_name}-{config.preset}")
def nightly_retrain(config: RunConfig) -> RunReport | None:
    """Retrain if data or configuration changed; otherwise the run ends with the reason.

    Args:
        config: The run.

    Returns:
        The run's results; None if it was skipped, because the ensemble is published already or
        another run holds the workspace's lock.
    """
    workspace = Workspace.of(config.workspace)
    try:
        with followed(), only_run_on(workspace.location, wait=False), workspace.shared():
            with doing("comparing the data with the workspace"):
                listing = workspace.list_data(config.data)
                pending = pending_work(config, listing)
            if pending.published and not pending.anything:
                since = f"nothing changed since ensemble {pending.published}"
                return concluded(f"skipped: {since}", None)
            report = run_stages(config)
    except WorkspaceLockedError as error:
        return concluded(f"skipped: {error}", None)
    return concluded(report.headline, report)
