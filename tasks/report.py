"""The tasks that report on a published ensemble: the report, and records in MLflow."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.config import TrackingConfig
from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.io.location import Location
from overlap.promotion.champion import Promotion
from overlap.reporting.page import write_report
from overlap.tracking.request import log_to_mlflow
from overlap.workspace.workspace import Workspace
from tasks.progress import doing, note


@task(name="report", cache_policy=NO_CACHE)
def make_report(workspace: Workspace, record: EnsembleRecord, promotion: Promotion) -> Location:
    """Write the report, unless it exists and no decision was made since."""
    decided = promotion.promoted or promotion.duel is not None
    if not decided and (target := report_of(workspace.location, record)).exists():
        return target
    with doing("writing the report"):
        return write_report(workspace.location, record)


@task(name="track", cache_policy=NO_CACHE)
def track_ensemble(
    workspace: Workspace, record: EnsembleRecord, config: TrackingConfig
) -> str | None:
    """Log the ensemble, and return its run in MLflow; a failure is only noted."""
    with doing("logging to MLflow"):
        return log_to_mlflow(workspace.location, record, config, note)
