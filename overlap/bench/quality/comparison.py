"""Compares the recipes on one data set with the reference at equal time.

The KL of the reference at a time between those of its own schedules is the mean of both, weighted
by the logarithm of the time. It is computed clip by clip, so that the comparison stays paired. A
time outside is compared with the nearest schedule, and the row says so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from overlap.bench.quality.recipes import REFERENCE
from overlap.bench.quality.records import TrainingJob
from overlap.bench.quality.sets import DataSet
from overlap.catalog import Catalog
from overlap.ensemble.pooling import pool_mean
from overlap.metrics.bootstrap import interval, resampled_means
from overlap.metrics.divergence import kl, kl_per_clip, trivial_prediction

Means = tuple[float, float, float]
"""A mean over clips and both ends of its 95 % interval, nats."""


@dataclass(frozen=True)
class QualityRow:
    """A recipe with one number of passes on one data set."""

    data_set: str
    recipe: str
    passes: int
    seeds: int
    """Trainings that did not diverge."""
    diverged: int
    parameters: int
    cpu_hours: float
    """Processor time of one training, h; mean over seeds."""
    member: Means | None
    """KL of single members, mean over seeds; None if all diverged."""
    ensemble: Means | None
    """KL of the mean of the members' predictions."""
    member_difference: Means | None
    """KL of single members minus that of the reference at equal time; None for the reference."""
    ensemble_difference: Means | None
    within: bool
    """Whether the reference has schedules on both sides of the recipe's time."""


@dataclass(frozen=True)
class CostPoint:
    """What ensembles of one size cost, and how well they predict."""

    data_set: str
    recipe: str
    passes: int
    members: int
    """Members of an ensemble."""
    ensembles: int
    """Ensembles without a common member, over which the KL is averaged."""
    cpu_hours: float
    """Processor time of the trainings of one ensemble, h."""
    kl: Means


@dataclass(frozen=True)
class SetComparison:
    """All recipes on one data set."""

    data_set: str
    clips: int
    """Scored clips."""
    groups: int
    """Groups of speakers that share clips among them."""
    trivial_kl: float
    """KL of the mean training label, nats."""
    rows: tuple[QualityRow, ...]
    costs: tuple[CostPoint, ...] = ()
    """Ensembles of the wanted sizes, as far as their members are trained."""


@dataclass(frozen=True, eq=False)
class Scored:
    """The KL of each clip under the trainings of one recipe with one number of passes."""

    recipe: str
    passes: int
    cpu_seconds: float
    labels: NDArray[np.float64]
    """(clips, words)."""
    predictions: NDArray[np.float64]
    """(seeds, clips, words) probabilities."""
    parameters: int

    @property
    def seeds(self) -> int:
        """Number of complete trainings."""
        return len(self.predictions)

    @cached_property
    def member(self) -> NDArray[np.float64]:
        """(clips,) KL of single members, mean over seeds, nats."""
        return self.ensembles_of(1)

    @cached_property
    def ensemble(self) -> NDArray[np.float64]:
        """(clips,) KL of the pooled predictions, nats."""
        return self.ensembles_of(self.seeds)

    def ensembles_of(self, members: int) -> NDArray[np.float64]:
        """Return the (clips,) KL of ensembles of this size, mean over disjoint ones, nats."""
        found: NDArray[np.float64] = np.mean(
            [
                kl_per_clip(self.labels, pool_mean(self.predictions[first : first + members]))
                for first in range(0, self.seeds - members + 1, members)
            ],
            axis=0,
        )
        return found


def compare(data: DataSet, jobs: Sequence[TrainingJob], sizes: Sequence[int] = ()) -> SetComparison:
    """Compare the finished trainings of a data set.

    Args:
        data: The data set.
        jobs: The trainings of all data sets; those without a record are left out.
        sizes: Numbers of members whose ensembles are wanted for `SetComparison.costs`.
    """
    catalog, training = Catalog.load(data.scoring), Catalog.load(data.training)
    rows = catalog.rows("train")
    labels = catalog.labels[rows]
    names = catalog.clips["group"].to_numpy(np.str_)[rows]
    groups = np.unique(names, return_inverse=True)[1].astype(np.int64)
    by_key: dict[tuple[str, int], list[TrainingJob]] = {}
    for job in jobs:
        if job.data_set == data.kind.name:
            by_key.setdefault((job.recipe, job.passes), []).append(job)
    scored = {key: _scored(key, some, labels) for key, some in by_key.items()}
    reference = sorted(
        (one for one in scored.values() if one is not None and one.recipe == REFERENCE),
        key=lambda one: one.cpu_seconds,
    )
    return SetComparison(
        data_set=data.kind.name,
        clips=len(rows),
        groups=len(np.unique(groups)),
        trivial_kl=kl(
            labels, trivial_prediction(training.labels[training.rows("train")], len(labels))
        ),
        rows=tuple(
            _row(data.kind.name, key, by_key[key], scored[key], reference, groups)
            for key in by_key
            if any(job.finished() for job in by_key[key])
        ),
        costs=tuple(
            _cost(data.kind.name, one, size, groups)
            for one in scored.values()
            for size in sorted({*sizes})
            if one is not None and size <= one.seeds
        ),
    )


def _cost(data_set: str, scored: "Scored", members: int, groups: NDArray[np.int64]) -> CostPoint:
    return CostPoint(
        data_set=data_set, recipe=scored.recipe, passes=scored.passes, members=members,
        ensembles=scored.seeds // members, cpu_hours=members * scored.cpu_seconds / 3600,
        kl=_means(scored.ensembles_of(members), groups),
    )  # fmt: skip


def _scored(
    key: tuple[str, int], jobs: Sequence[TrainingJob], labels: NDArray[np.float64]
) -> Scored | None:
    results = [(job, result) for job in jobs if (result := job.finished()) is not None]
    complete = [(job, result) for job, result in results if not result.failure]
    if not complete:
        return None
    return Scored(
        recipe=key[0],
        passes=key[1],
        cpu_seconds=float(np.mean([result.cpu_seconds for _, result in complete])),
        labels=labels,
        predictions=np.stack([job.probabilities(result) for job, result in complete]),
        parameters=complete[0][1].parameters,
    )


def at_time(
    reference: Sequence[Scored], seconds: float, kind: str
) -> tuple[NDArray[np.float64], bool]:
    """Return the reference's KL of each clip at a time, and whether the time is within its own.

    Args:
        reference: The reference's schedules, by ascending time.
        seconds: Processor time of a training, s.
        kind: `member` or `ensemble`.
    """
    times = [one.cpu_seconds for one in reference]
    values: list[NDArray[np.float64]] = [getattr(one, kind) for one in reference]
    if seconds <= times[0]:
        return values[0], seconds == times[0]
    if seconds >= times[-1]:
        return values[-1], seconds == times[-1]
    after = next(place for place, time in enumerate(times) if time > seconds)
    low, high = (math.log(times[place]) for place in (after - 1, after))
    share = (math.log(seconds) - low) / (high - low)
    return (1 - share) * values[after - 1] + share * values[after], True


def _row(
    data_set: str,
    key: tuple[str, int],
    jobs: Sequence[TrainingJob],
    scored: Scored | None,
    reference: Sequence[Scored],
    groups: NDArray[np.int64],
) -> QualityRow:
    diverged = sum(bool(result.failure) for job in jobs if (result := job.finished()))
    found: dict[str, Means | None] = dict.fromkeys(
        ("member", "ensemble", "member_difference", "ensemble_difference")
    )
    within = True
    if scored is not None:
        own: Mapping[str, NDArray[np.float64]] = {
            "member": scored.member, "ensemble": scored.ensemble
        }  # fmt: skip
        for kind, clips in own.items():
            found[kind] = _means(clips, groups)
            if reference and scored.recipe != REFERENCE:
                other, within = at_time(reference, scored.cpu_seconds, kind)
                found[f"{kind}_difference"] = _means(clips - other, groups)
    return QualityRow(
        data_set=data_set, recipe=key[0], passes=key[1],
        seeds=scored.seeds if scored else 0, diverged=diverged,
        parameters=scored.parameters if scored else 0,
        cpu_hours=scored.cpu_seconds / 3600 if scored else 0.0,
        within=within, **found,
    )  # fmt: skip


def _means(clips: NDArray[np.float64], groups: NDArray[np.int64]) -> Means:
    """Return the mean over clips and its interval; equal clips give equal resamples."""
    low, high = interval(resampled_means(clips[None], groups)[:, 0])
    return float(clips.mean()), low, high
