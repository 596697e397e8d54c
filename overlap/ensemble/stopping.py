"""Decides whether the training of further members is worthwhile."""

from dataclasses import dataclass

from overlap.ensemble.curve import FEWEST_POINTS, fit_law, mean_kl_by_count
from overlap.ensemble.held_out import HeldOutPredictions


@dataclass(frozen=True)
class StoppingPoint:
    """The number of members after which training stops."""

    members: int
    """Number of members whose predictions led to the decision."""
    gain: float
    """Expected reduction of the KL by the next member, nats."""


def find_stopping_point(
    held_out: HeldOutPredictions, min_gain: float, searched: int = 0
) -> StoppingPoint | None:
    """Find the earliest point at which the expected gain of the next member is below `min_gain`.

    The search considers the first three complete rounds, the first four, and so on. The
    predictions of the first n members do not change when others are added, so that a stopping
    point, once found, remains the same.

    Args:
        held_out: Predictions of members in the order of training, without gaps.
        min_gain: Smallest worthwhile gain per member, nats.
        searched: Number of rounds up to which an earlier search found no stopping point.

    Returns:
        None if the expected gain is never below `min_gain`.
    """
    for rounds in range(max(FEWEST_POINTS, searched + 1), len(held_out.rounds) + 1):
        part = held_out.first_rounds(rounds)
        law = fit_law(mean_kl_by_count(part.rounds, part.labels).mean(axis=1))
        if law is not None:
            gain = law(rounds) - law(rounds + 1 / held_out.per_round)
            if gain < min_gain:
                return StoppingPoint(rounds * held_out.per_round, gain)
    return None
