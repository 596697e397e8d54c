"""Decides once about every new ensemble whether it becomes champion, and records the decision."""

from overlap.catalog import Catalog
from overlap.config import PromotionConfig
from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.challenge import ComparisonPlan
from overlap.promotion.champion import ALREADY, Aliases, Promotion
from overlap.promotion.rule import (
    Verdict,
    apply_rule,
    apply_trivial_check,
    promotion_hint,
    with_trivial_check,
)
from overlap.promotion.trivial import check_trivial


def consider(
    workspace: Location,
    challenger: EnsembleRecord,
    config: PromotionConfig,
    plan: ComparisonPlan | None = None,
    catalog: Catalog | None = None,
) -> Promotion:
    """Promote a published ensemble if the rule allows it, and record the decision.

    Without a champion the ensemble becomes champion if it is better than the trivial prediction,
    unless the rule is `never`. Every version is considered once, so that a run over unchanged data
    never undoes a decision of the user.

    Args:
        workspace: The workspace.
        challenger: The ensemble.
        config: The rule.
        plan: The comparison with the `current_champion`, after the champion's predictions.
        catalog: The catalogue of the workspace; None: read it.
    """
    published = {record.version for record in list_ensembles(workspace)}
    comparison = plan.compare(config.confidence) if plan else None
    check = check_trivial(workspace, challenger, config.confidence, catalog)
    refused = apply_trivial_check(config, check, challenger.version)

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        verdict = _without_comparison(aliases, challenger.version, published, config.rule)
        if refused is not None and (verdict is None or verdict.promoted):
            verdict = refused
        if verdict is None and plan is not None and plan.champion == aliases.version:
            verdict = apply_rule(config, plan, comparison, challenger.version)
        elif verdict is None:
            reason = (
                f"{aliases.version} became champion during this run; the next run compares with it"
            )
            verdict = Verdict(False, reason, final=False)
        verdict = with_trivial_check(verdict, config, check)
        decision = Promotion(
            version=challenger.version, promoted=verdict.promoted, reason=verdict.reason,
            duel=comparison, instead_of=aliases.version if verdict.promoted else None,
            trivial=check.comparison,
        )  # fmt: skip
        known = aliases.decision(challenger.version)
        repeated = not verdict.promoted and known is not None and known.reason == verdict.reason
        if repeated or not verdict.final:
            return aliases, decision
        after = aliases.with_champion(challenger.version) if verdict.promoted else aliases
        considered = (*aliases.considered, challenger.version)
        return after.model_copy(update={"considered": considered}).with_decision(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def _without_comparison(
    aliases: Aliases, version: str, published: set[str], rule: str
) -> Verdict | None:
    """Decide without a comparison, or return None where one is needed."""
    current = aliases.version
    if current == version:
        return Verdict(False, ALREADY, final=False)
    if current is None or current not in published:
        if rule == "never":
            return Verdict(False, f"promotion.rule is never; {promotion_hint(version)}")
        reason = f"champion {current} no longer exists" if current else "first champion"
        return Verdict(True, reason)
    if aliases.was_considered(version):
        return Verdict(False, f"already considered; {promotion_hint(version)}", final=False)
    return None
