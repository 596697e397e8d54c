"""The rule by which a newly published ensemble takes the champion's place, or does not."""

from typing import NamedTuple

from overlap.config import PromotionConfig
from overlap.promotion.challenge import ComparisonPlan
from overlap.promotion.comparison import Comparison


class Verdict(NamedTuple):
    """What the rule says."""

    promoted: bool
    reason: str
    """One sentence for a person."""
    final: bool = True
    """Whether the version is considered with this; if not, the next run does it again."""


def judge_duel(
    config: PromotionConfig, plan: ComparisonPlan, duel: Comparison | None, challenger: str
) -> Verdict:
    """What becomes of a challenger after its duel.

    Args:
        config: The rule.
        plan: The duel.
        duel: What came of it; None where there was no clip to compare them on.
        challenger: Its version.
    """
    unasked = sum(len(job.files) for job in plan.missing())
    obstacle = plan.obstacle
    if unasked:
        obstacle = f"{plan.champion} has not predicted {unasked} clips newer than it"
    parts = [part for part in (str(duel or ""), obstacle) if part]
    said = "; ".join(parts) or "no clip that neither has seen"
    by_hand = in_hand(challenger)
    if config.rule == "always":
        return Verdict(True, f"promotion.rule is always; {said}")
    if config.rule == "never":
        return Verdict(False, f"promotion.rule is never; {said}; {by_hand}")
    if duel is None or duel.clips < config.min_clips:
        few = f"only {duel.clips} clips" if duel else "no clips"
        parts = [f"{few} that neither has seen, and promotion.min_clips is {config.min_clips}"]
        if obstacle:
            parts = [*parts, obstacle] if duel else [obstacle]
        parts.append("the next run tries again" if unasked else by_hand)
        return Verdict(False, "; ".join(parts), final=not unasked)
    if duel.low <= 0:
        return Verdict(False, f"no certain gain: {said}; {by_hand}")
    if duel.gain < config.min_gain:
        below = f"the gain is below promotion.min_gain {config.min_gain:g}"
        return Verdict(False, f"{below}: {said}; {by_hand}")
    return Verdict(True, said)


def in_hand(version: str) -> str:
    """How a person promotes a version."""
    return f"`overlap models promote {version}` makes it the champion"
