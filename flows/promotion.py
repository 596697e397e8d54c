"""The last stage of a run: compare the new ensemble with the champion, then prune old versions."""

from flows.clusters.opening import open_cluster
from flows.clusters.preflight import Work
from overlap.config import RunConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import ChildError
from overlap.prediction.retention import keep_used_predictions
from overlap.promotion.champion import Promotion
from overlap.workspace.workspace import Workspace
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.predictions import apply_to_all
from tasks.progress import note
from tasks.promotion import consider_champion, prepare_comparison, remove_old_versions


def settle_champion(
    config: RunConfig, workspace: Workspace, record: EnsembleRecord, scheduler: Cluster | None
) -> Promotion:
    """Decide within a flow whether an ensemble becomes champion.

    The champion first predicts the clips that are newer than it, on the training workers.

    Args:
        config: The run.
        workspace: The workspace.
        record: The ensemble.
        scheduler: A cluster that the calling flow has opened, if any.
    """
    plan = prepare_comparison(workspace, record)
    if plan:
        keep_used_predictions(workspace.location, plan.jobs, note)
    missing = plan.missing() if plan else []
    if missing:
        opened = None if scheduler == NO_CLUSTER else scheduler
        work = Work(training=True)
        with open_cluster(config.cluster, workspace.location, work, opened) as cluster:
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
