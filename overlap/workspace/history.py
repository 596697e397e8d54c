"""The history of a workspace: score, decision and cost of every published version.

A figure that the records of a version do not contain, because an earlier release wrote them or its
members were removed, is None.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from overlap.ensemble.registry import EnsembleRecord, list_ensembles
from overlap.errors import CorruptError, NewerFormatError
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import Aliases, Promotion, read_aliases


class TrainingCost(Record):
    """The part of a member's record that its training cost; see `MemberRecord`.

    A class of its own spares a command that only reads the imports of the whole record.
    """

    seconds: float
    energy_joules: float | None = None
    device: str = ""


@dataclass(frozen=True)
class PublishedVersion:
    """One published version."""

    version: str
    created: datetime
    """Time of its publication, UTC."""
    members: int
    kl: float | None
    """KL on its held-out clips, nats."""
    kl_low: float | None
    """Lower end of the 95 % interval of the KL, nats."""
    kl_high: float | None
    """Upper end, nats."""
    trivial_kl: float | None
    """KL of the trivial prediction on the same clips, nats."""
    promoted: bool | None
    """Whether the run that published it promoted it; None where no decision is recorded."""
    champion: str | None
    """The champion after that decision; None if there was none or it is not recorded."""
    is_champion: bool
    """Whether it is the champion now."""
    decision: str
    """The latest decision about it, in short; empty where none is recorded."""
    clips: int | None
    """Usable training clips."""
    drift_db: float | None
    """Largest Wasserstein distance of the test clips' decibels from the training clips', dB."""
    gpu_hours: float | None
    """Training time on GPUs of the members that no earlier version contains, h."""
    energy_wh: float | None
    """Measured energy of the training of these members, Wh."""
    seconds: float | None
    """Elapsed time of the run until the publication, s."""


def read_history(workspace: Location) -> list[PublishedVersion]:
    """Return the published versions, oldest first."""
    records, aliases = list_ensembles(workspace), read_aliases(workspace)
    known: set[str] = set()
    history = []
    for record in records:
        new = [name for name in record.members if name not in known]
        known |= {*new}
        history.append(_version(record, aliases, _costs(workspace, new)))
    return history


def _costs(workspace: Location, names: Sequence[str]) -> list[TrainingCost | None]:
    """Return the costs of members; None for one that was removed or cannot be read."""
    found: list[TrainingCost | None] = []
    for name in names:
        try:
            found.append(WorkspacePaths(workspace).member(name).record.read_record(TrainingCost))
        except (FileNotFoundError, CorruptError, NewerFormatError):
            found.append(None)
    return found


def _version(
    record: EnsembleRecord, aliases: Aliases, costs: Sequence[TrainingCost | None]
) -> PublishedVersion:
    first = next((d for d in aliases.history if d.version == record.version), None)
    low, high = record.kl_interval or (None, None)
    # With a removed or older member the sum would be too small.
    times = [_gpu_seconds(cost) for cost in costs]
    joules = [cost.energy_joules if cost else None for cost in costs]
    return PublishedVersion(
        version=record.version,
        created=record.created,
        members=len(record.members),
        kl=record.kl,
        kl_low=low,
        kl_high=high,
        trivial_kl=record.trivial_kl,
        promoted=first.promoted if first else None,
        champion=_champion_after(aliases, first) if first else None,
        is_champion=record.version == aliases.version,
        decision=aliases.summary(record.version),
        clips=record.clips.get("train"),
        drift_db=record.drift_db,
        gpu_hours=_scaled_sum(times),
        energy_wh=_scaled_sum(joules),
        seconds=record.run_seconds,
    )


def _gpu_seconds(cost: TrainingCost | None) -> float | None:
    """Return the time that a training spent on a GPU, s; None where it is unknown."""
    if cost is None or not cost.device:
        return None
    return 0.0 if cost.device.lower().startswith("cpu") else cost.seconds


def _scaled_sum(values: Sequence[float | None]) -> float | None:
    """Return the sum of seconds in hours, or of joules in watt-hours; None if one is unknown."""
    known = [value for value in values if value is not None]
    return sum(known) / 3600 if len(known) == len(values) else None


def _champion_after(aliases: Aliases, decision: Promotion) -> str | None:
    """Return the champion after a decision, from the decisions up to it and the one after it."""
    index = aliases.history.index(decision)
    for earlier in reversed(aliases.history[: index + 1]):
        if earlier.promoted:
            return earlier.version
    if decision.duel is not None:
        return decision.duel.champion
    # The earliest decisions are not kept: the next change names the champion that it replaced.
    later = (d for d in aliases.history[index + 1 :] if d.promoted)
    replaced = next(later, None)
    return replaced.instead_of if replaced else aliases.version
