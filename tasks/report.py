"""The task that writes the report of a published ensemble."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.io.location import Location
from overlap.promotion.champion import Promotion
from overlap.reporting.page import write_report
from overlap.workspace.workspace import Workspace
from tasks.progress import doing


@task(name="report", cache_policy=NO_CACHE)
def make_report(workspace: Workspace, record: EnsembleRecord, promotion: Promotion) -> Location:
    """Write the report, unless it exists and no decision was made since."""
    decided = promotion.promoted or promotion.duel is not None
    if not decided and (target := report_of(workspace.location, record)).exists():
        return target
    with doing("writing the report"):
        return write_report(workspace.location, record)
