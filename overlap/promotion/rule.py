"""The rule that decides whether a newly published ensemble becomes champion."""

from typing import TYPE_CHECKING, NamedTuple

from overlap.config import PromotionConfig
from overlap.promotion.outcome import NOT_BETTER, NOT_MEASURED, Comparison, TrivialCheck

if TYPE_CHECKING:  # imports what predicts
    from overlap.promotion.challenge import ComparisonPlan


class Verdict(NamedTuple):
    """The outcome of the rule."""

    promoted: bool
    reason: str
    """One sentence for the reader."""
    final: bool = True
    """Whether the version counts as considered; if not, the next run decides again."""


def apply_rule(
    config: PromotionConfig, plan: "ComparisonPlan", comparison: Comparison | None, challenger: str
) -> Verdict:
    """Decide whether a challenger is promoted after its comparison with the champion.

    Args:
        config: The rule.
        plan: The plan of the comparison.
        comparison: Its outcome; None if there was no clip to compare on.
        challenger: Version of the challenger.
    """
    missing = sum(len(job.files) for job in plan.missing())
    obstacle = plan.obstacle
    if missing:
        obstacle = f"{plan.champion} has not predicted {missing} clips newer than it"
    parts = [part for part in (str(comparison or ""), obstacle) if part]
    facts = "; ".join(parts) or "there is no clip that neither trained on"
    hint = promotion_hint(challenger)
    if config.rule == "always":
        return Verdict(True, f"promotion.rule is always; {facts}")
    if config.rule == "never":
        return Verdict(False, f"promotion.rule is never; {facts}; {hint}")
    if comparison is None or comparison.clips < config.min_clips:
        count = f"only {comparison.clips} clips" if comparison else "no clips"
        parts = [f"{count} that neither trained on; promotion.min_clips is {config.min_clips}"]
        if obstacle:
            parts = [*parts, obstacle] if comparison else [obstacle]
        parts.append("the next run tries again" if missing else hint)
        return Verdict(False, "; ".join(parts), final=not missing)
    if comparison.low <= 0:
        return Verdict(False, f"no significant gain: {facts}; {hint}")
    if comparison.gain < config.min_gain:
        below = f"the gain is below promotion.min_gain {config.min_gain:g}"
        return Verdict(False, f"{below}: {facts}; {hint}")
    return Verdict(True, facts)


def apply_trivial_check(
    config: PromotionConfig, check: TrivialCheck, version: str
) -> Verdict | None:
    """Refuse an ensemble that is not better than the trivial prediction.

    Args:
        config: The rule.
        check: The comparison with the trivial prediction.
        version: Version of the ensemble.

    Returns:
        None if the condition allows a promotion.
    """
    needed, hint = config.better_than_trivial, promotion_hint(version)
    found = check.comparison
    if needed == "ignored" or (found and found.better):
        return None
    if found:
        remedy = "raise training.epochs, or add clips"
        return Verdict(False, f"{NOT_BETTER}: {found}; {remedy}; {hint}")
    if needed == "required":
        setting = "promotion.better_than_trivial is required"
        return Verdict(False, f"{NOT_MEASURED}: {check.obstacle}; {setting}; {hint}")
    return None


def with_trivial_check(verdict: Verdict, config: PromotionConfig, check: TrivialCheck) -> Verdict:
    """Add the comparison with the trivial prediction to the reason of a promotion."""
    if not verdict.promoted:
        return verdict
    if check.comparison is None:
        if config.better_than_trivial == "ignored":
            return verdict
        return verdict._replace(reason=f"{verdict.reason}, {NOT_MEASURED} ({check.obstacle})")
    found = check.comparison
    outcome = f"trivial prediction: {found}" if found.better else f"{NOT_BETTER}: {found}"
    return verdict._replace(reason=f"{verdict.reason}; {outcome}")


def promotion_hint(version: str) -> str:
    """Return the command that promotes a version, as a clause."""
    return f"`overlap models promote {version}` makes it the champion"
