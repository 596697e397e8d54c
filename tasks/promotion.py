"""Compare a newly published ensemble with the champion, decide, and remove old versions."""

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.config import PromotionConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.io.location import Location
from overlap.promotion.challenge import ComparisonPlan, plan_comparison
from overlap.promotion.champion import Promotion, consider, current_champion
from overlap.promotion.retention import PruneResult, prune
from tasks.artifacts import show_comparison


@task(name="duel", cache_policy=NO_CACHE)
def prepare_comparison(workspace: Location, record: EnsembleRecord) -> ComparisonPlan | None:
    """Find the clips that neither the ensemble nor the champion has seen; None without a duel."""
    champion = current_champion(workspace, record)
    return plan_comparison(workspace, champion, record) if champion else None


@task(name="promote", cache_policy=NO_CACHE)
def consider_champion(
    workspace: Location, record: EnsembleRecord, rule: PromotionConfig, plan: ComparisonPlan | None
) -> Promotion:
    """Make the ensemble the champion if the rule says so."""
    promotion = consider(workspace, record, rule, plan)
    show_comparison(promotion)
    return promotion


@task(name="prune", cache_policy=NO_CACHE)
def remove_old_versions(workspace: Location, keep: int) -> PruneResult:
    """Remove the versions, and members, that need not stay."""
    return prune(workspace, keep)
