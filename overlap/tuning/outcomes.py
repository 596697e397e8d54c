"""Trials as values: their settings, their epochs and their outcome."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from overlap.training.spec import MemberRecord
from overlap.tuning.space import Value

State = Literal["complete", "pruned", "failed", "running"]


@dataclass(frozen=True)
class Trial:
    """A trial as its study knows it."""

    number: int
    """Number within the study, from 0."""
    state: State
    values: Mapping[str, Value]
    """The stored value of each setting."""
    member: str
    """Fingerprint of its member; empty before it is known."""
    kls: Mapping[int, float]
    """Held-out KL by epoch, nats."""
    kl: float | None
    """Held-out KL of the finished member, nats; None before."""
    reason: str
    """Why it ended early; empty if it did not."""


def best_trial(trials: Sequence[Trial]) -> Trial | None:
    """Return the complete trial with the lowest held-out KL; None without a complete one."""
    complete = [trial for trial in trials if trial.kl is not None]
    return min(complete, key=lambda trial: (trial.kl, trial.number), default=None)


def score_of(record: MemberRecord) -> float:
    """Return the held-out KL of a finished trial, nats; infinite where it is not finite."""
    kl = record.held_out_kl
    return math.inf if kl is None or not math.isfinite(kl) else kl
