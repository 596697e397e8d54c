"""What an experiment tracker receives about an ensemble and its members, as plain values."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from overlap.ensemble.registry import EnsembleRecord
from overlap.promotion.champion import Promotion
from overlap.training.spec import MemberRecord

LEFT_OUT = ("notify", "tracking")
"""Sections of the configuration that do not affect the result."""


@dataclass(frozen=True)
class Point:
    """A value of a metric."""

    name: str
    value: float
    step: int = 0


@dataclass(frozen=True)
class Entry:
    """Everything about one run of the tracker except its files."""

    name: str
    parameters: dict[str, str]
    points: list[Point]
    tags: dict[str, str] = field(default_factory=dict)


def ensemble_entry(record: EnsembleRecord, decision: Promotion | None) -> Entry:
    """Return the entry of an ensemble.

    Args:
        record: The ensemble.
        decision: The latest decision about it, if any.
    """
    config = {name: part for name, part in record.config.items() if name not in LEFT_OUT}
    low, high = record.kl_interval or (None, None)
    values = {
        "kl": record.kl, "kl_low": low, "kl_high": high, "kl_trivial": record.trivial_kl,
        "members": len(record.members), **{f"clips_{k}": v for k, v in record.clips.items()},
    }  # fmt: skip
    points = [*_known(values)]
    points += [Point("kl_of_members", at.kl, at.members * record.per_round) for at in record.curve]
    tags = {"overlap.version": record.version, "overlap.pool": str(record.fitted)}
    if record.git_revision:
        tags["mlflow.source.git.commit"] = record.git_revision
    if decision:
        tags |= {"overlap.promoted": str(decision.promoted), "overlap.reason": decision.reason}
    return Entry(record.version, dict(_flat(config)), points, tags)


def member_entry(record: MemberRecord, number: int) -> Entry:
    """Return the entry of a member.

    Args:
        record: The member.
        number: Its position in the ensemble, from 1.
    """
    spec = record.spec
    seed = spec.seed if record.seed is None else record.seed
    parameters = {
        "seed": seed, "fold": spec.fold, "parameters": record.parameters, "clips": record.clips,
        "feed": record.feed, "device": record.device,
        **{f"training.{k}": v for k, v in spec.training.model_dump(mode="json").items()},
        **{f"network.{k}": v for k, v in spec.network.model_dump(mode="json").items()},
    }  # fmt: skip
    values = {
        "held_out_kl_kept": record.held_out_kl,
        "kept_epoch": record.kept_epoch or len(record.history),
        "seconds": record.seconds,
        "clips_per_second": record.clips_per_second,
        "energy_joules": record.energy_joules,
    }
    points = [
        Point(name, value, epoch)
        for epoch, metrics in enumerate(record.history, 1)
        for name, value in metrics.items()
    ]
    tags = {"overlap.member": record.fingerprint}
    return Entry(f"member {number}", dict(_flat(parameters)), [*points, *_known(values)], tags)


def _known(values: Mapping[str, float | None]) -> Iterator[Point]:
    yield from (Point(name, value) for name, value in values.items() if value is not None)


def _flat(values: Mapping[str, Any], above: str = "") -> Iterator[tuple[str, str]]:
    """Yield nested values under dotted names, as text."""
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{above}{name}.")
        else:
            yield above + name, str(value)
