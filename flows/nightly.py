"""The scheduled retraining: like `retrain`, but skipped when nothing has changed."""

from prefect import flow

from flows.announcer import announced
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
    with announced(config) as announcer:
        try:
            report = _retrained(config)
        except WorkspaceLockedError as error:
            return concluded(f"skipped: {error}", None)
        if isinstance(report, str):
            announcer.unchanged(report)
            return concluded(f"skipped: {report}", None)
        announcer.published(report.ensemble, report.promotion, report.drift, report.headline)
    return concluded(report.headline, report)


def _retrained(config: RunConfig) -> RunReport | str:
    """Run all stages, or return why there is nothing to do.

    Raises:
        WorkspaceLockedError: another run uses the workspace.
    """
    workspace = Workspace.of(config.workspace)
    with followed(), only_run_on(workspace.location, wait=False), workspace.shared():
        with doing("comparing the data with the workspace"):
            listing = workspace.list_data(config)
            pending = pending_work(config, listing)
        if pending.published and not pending.anything:
            return f"nothing changed since ensemble {pending.published}"
        return run_stages(config)
