"""The end of a run: the new ensemble against the champion, and what is removed after that."""

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from overlap.config import RunConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import ChildError
from overlap.io.location import Location
from overlap.promotion.champion import Promotion
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.predictions import apply_to_all
from tasks.progress import note
from tasks.promotion import consider_champion, prepare_comparison, remove_old_versions


def settle_champion(
    config: RunConfig, record: EnsembleRecord, scheduler: Cluster | None
) -> Promotion:
    """From inside a flow: decide whether an ensemble becomes champion.

    Clips that came after the champion are predicted by it first, on the training workers.

    Args:
        config: The run.
        record: The ensemble.
        scheduler: A cluster that the calling flow has opened, if it has.
    """
    workspace = Location.of(config.workspace)
    plan = prepare_comparison(workspace, record)
    missing = plan.missing() if plan else []
    if missing:
        opened = None if scheduler == NO_CLUSTER else scheduler
        with open_cluster(config.cluster, workspace, Work(training=True), opened) as cluster:
            try:
                apply_to_all(cluster, missing, "champion on new clips")
            except ChildError as error:
                note(f"the champion cannot be compared on clips newer than it: {error}")
    promotion = consider_champion(workspace, record, config.promotion, plan)
    if config.promotion.keep_versions is not None:
        pruned = remove_old_versions(workspace, config.promotion.keep_versions)
        if pruned.versions:
            note(f"removed: versions {len(pruned.versions)}, members {len(pruned.members)}")
    return promotion
