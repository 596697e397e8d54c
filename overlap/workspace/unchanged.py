"""The result of a run that has nothing to do, read from the workspace's files.

Such a run needs neither a Prefect server nor a cluster, whose start takes most of its time.
"""

from dataclasses import dataclass

from overlap.catalog import Listing
from overlap.config import RunConfig
from overlap.ensemble.publish import publish
from overlap.ensemble.registry import EnsembleRecord
from overlap.features.compare import DriftRow, compare, read_comparison_set
from overlap.promotion.champion import Promotion, champion
from overlap.promotion.decision import consider
from overlap.workspace.pending import pending_work
from overlap.workspace.runs import recorded_run
from overlap.workspace.workspace import Workspace


@dataclass(frozen=True)
class UnchangedResult:
    """What a run over unchanged data and settings finds published."""

    ensemble: EnsembleRecord
    """The champion; the run would publish it again."""
    promotion: Promotion
    """Says that it is the champion already."""
    drift: tuple[DriftRow, ...]
    """Drift of the clips, as the run measures it."""


def unchanged_result(config: RunConfig, listing: Listing) -> UnchangedResult | None:
    """Return the result of a run that has nothing to do, and record the run.

    Args:
        config: The run.
        listing: The files of its data folder.

    Returns:
        None if the run has something to do: an ensemble to publish or to decide about, files of
        the published one to restore, versions to remove, or records to write elsewhere.

    Raises:
        DataError: the tables are invalid, as far as this is visible without decoding.
        UserError: the workspace contains features of another configuration.
        WorkspaceLockedError: another run holds the workspace's lock.
    """
    workspace = Workspace.of(config.workspace)
    place = workspace.location
    version = champion(place)
    if version is None or config.promotion.keep_versions is not None or config.tracking.mlflow:
        return None
    with workspace.lock():
        pending = pending_work(config, listing)
        paths = workspace.paths.ensemble(version)
        if pending.anything or pending.published != version or not paths.report.exists():
            return None
        with recorded_run(
            place, "retrain", data=config.data, preset=config.preset,
            members=config.ensemble.members,
        ) as run:  # fmt: skip
            drift = compare(workspace.store, read_comparison_set(config), config.training.top_db)
            members, catalog = workspace.members(config), workspace.catalog
            record = publish(place, config, catalog, members, workspace.store)
            promotion = consider(place, record, config.promotion, catalog=catalog)
            run.result(record.version, promoted=promotion.promoted, reason=promotion.reason)
    return UnchangedResult(record, promotion, drift)
