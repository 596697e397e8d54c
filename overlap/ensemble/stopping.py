"""Whether another member is still worth its time."""

from dataclasses import dataclass

from overlap.ensemble.curve import FEWEST_POINTS, fit_law, mean_kl_by_count
from overlap.ensemble.held_out import HeldOut


@dataclass(frozen=True)
class Stop:
    """No more members are wanted."""

    members: int
    """The first so many members say so."""
    gain: float
    """What the next was expected to bring then, nats."""


def find_stop(held_out: HeldOut, least_gain: float) -> Stop | None:
    """The earliest point at which the next member was expected to bring less than `least_gain`.

    It is looked for among the first three complete rounds, the first four, and so on. What the
    first n members say never changes as others are added, so once there is a stop it stays, and
    stays the same.

    Args:
        held_out: Predictions of members in the order in which they are trained, none left out.
        least_gain: Nats per member.
    """
    for rounds in range(FEWEST_POINTS, len(held_out.rounds) + 1):
        part = held_out.first(rounds)
        law = fit_law(mean_kl_by_count(part.rounds, part.labels).mean(axis=1))
        if law is not None:
            gain = law(rounds) - law(rounds + 1 / held_out.per_round)
            if gain < least_gain:
                return Stop(rounds * held_out.per_round, gain)
    return None
