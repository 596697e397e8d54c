"""The tasks that compare a new ensemble with the champion, decide, and prune old versions."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.config import PromotionConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.promotion.challenge import ComparisonPlan, plan_comparison
from overlap.promotion.champion import Promotion, current_champion
from overlap.promotion.decision import consider
from overlap.promotion.retention import PruneResult, prune
from overlap.workspace.workspace import Workspace
from tasks.artifacts import show_comparison
from tasks.progress import doing


@task(name="duel", cache_policy=NO_CACHE)
def prepare_comparison(workspace: Workspace, record: EnsembleRecord) -> ComparisonPlan | None:
    """Find clips that neither ensemble nor champion has seen; None if they are not compared."""
    champion = current_champion(workspace.location, record)
    if champion is None:
        return None
    return plan_comparison(workspace.location, champion, record, workspace.catalog)


@task(name="promote", cache_policy=NO_CACHE)
def consider_champion(
    workspace: Workspace, record: EnsembleRecord, rule: PromotionConfig, plan: ComparisonPlan | None
) -> Promotion:
    """Promote the ensemble if the rule allows it."""
    with doing("comparing the ensemble with the champion"):
        promotion = consider(workspace.location, record, rule, plan, workspace.catalog)
    show_comparison(promotion)
    return promotion


@task(name="prune", cache_policy=NO_CACHE)
def remove_old_versions(workspace: Workspace, keep: int) -> PruneResult:
    """Remove versions and members that are no longer needed."""
    return prune(workspace.location, keep, catalog=workspace.catalog)
