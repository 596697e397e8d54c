"""Judges a study on its reserved fold, which no trial was trained on or scored on.

The best settings and those that the study began with are trained again, with the same seeds, which
differ from that of the trials. Every epoch is scored on the fold that also scored the trials, so
that `training.keep` chooses the same way; the finished members predict the reserved fold. A clip's
KL is the mean over the seeds. The gain is the mean difference over the clips, with the interval of
a bootstrap that is paired over clips and resamples whole groups.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, are_grouped
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.metrics.divergence import kl_per_clip
from overlap.promotion.comparison import paired_gain
from overlap.promotion.outcome import PairedGain
from overlap.training.spec import MemberSpec, load_record, read_predictions, records_of
from overlap.tuning.definition import Study
from overlap.tuning.outcomes import Trial

SEEDS: Final = 3
"""Default number of seeds."""
CONFIDENCE: Final = 0.95


class Judgement(PairedGain):
    """The comparison on the reserved fold; the content of `judgement.json`."""

    trial: int
    """Number of the trial with the best settings."""
    first_kl: float
    """KL of the settings that the study began with, nats."""
    best_kl: float
    """KL of the best settings, nats."""
    members: tuple[str, ...]
    """Fingerprints of the members: those of the first settings, then those of the best."""
    epochs: int
    """Epochs that these members were trained for."""
    uses: int = 1
    """How often the reserved fold has judged this study. A search that goes on after it was judged
    chooses among more trials, and the fold is then no longer quite untouched."""
    judged: datetime

    @property
    def verdict(self) -> str:
        """What the interval says, as a sentence."""
        if self.low > 0:
            return "The best settings are better than the preset's on clips that no trial has seen."
        if self.high < 0:
            return "The best settings are worse than the preset's on clips that no trial has seen."
        return (
            "The best settings are not shown to be better than the preset's: the interval of the "
            "gain contains 0."
        )


@dataclass(frozen=True)
class JudgePlan:
    """The members that judge a study."""

    trial: Trial
    """The best trial."""
    first: tuple[MemberSpec, ...]
    """With the settings that the study began with, by seed."""
    best: tuple[MemberSpec, ...]
    """With the best settings, by seed."""

    @property
    def specs(self) -> tuple[MemberSpec, ...]:
        """All members, seed by seed."""
        return tuple(spec for pair in zip(self.first, self.best, strict=True) for spec in pair)


def plan_judgement(
    study: Study, trial: Trial, seeds: int, catalog: Catalog, store: FeatureStore
) -> JudgePlan | None:
    """Return the members that judge a study; None if the best settings are the first ones.

    Args:
        study: The study.
        trial: Its best trial.
        seeds: Number of seeds.
        catalog: The clips.
        store: The features.
    """
    first = study.record.base
    best = study.spec(study.settings(dict(trial.values)), catalog, store)
    if best.fingerprint == first.fingerprint:
        return None
    return JudgePlan(trial, _judging(first, seeds), _judging(best, seeds))


def _judging(spec: MemberSpec, seeds: int) -> tuple[MemberSpec, ...]:
    return tuple(
        spec.model_copy(update={"seed": spec.seed + number, "judged": True})
        for number in range(1, seeds + 1)
    )


def unfinished(workspace: Location, plan: JudgePlan) -> list[MemberSpec]:
    """Return the members of a plan that are not complete."""
    return [spec for spec in plan.specs if load_record(spec.folder(workspace)) is None]


def judge(
    workspace: Location, plan: JudgePlan, catalog: Catalog, before: Judgement | None
) -> Judgement:
    """Compare the finished members of a plan.

    Args:
        workspace: The workspace.
        plan: The plan; its members are complete.
        catalog: The clips.
        before: The last judgement of the study.

    Raises:
        MemberError: A member does not exist.
        CorruptError: A file of a member is damaged.
    """
    rows = plan.first[0].partition(catalog).reserved
    labels = catalog.labels[rows]
    first, best = (_kls(workspace, specs, labels) for specs in (plan.first, plan.best))
    groups = np.arange(len(rows))
    if are_grouped(catalog):
        names = catalog.clips["group"].to_numpy(np.str_)[rows]
        groups = np.unique(names, return_inverse=True)[1].astype(np.int64)
    members = tuple(spec.fingerprint for spec in (*plan.first, *plan.best))
    again = before is not None and before.members == members
    return Judgement(
        trial=plan.trial.number,
        first_kl=float(first.mean()),
        best_kl=float(best.mean()),
        members=members,
        epochs=sum(len(record.history) for record in records_of(workspace, members)),
        uses=(before.uses if before else 0) + (not again),
        judged=before.judged if before is not None and again else datetime.now(UTC),
        **paired_gain(first - best, groups, CONFIDENCE).model_dump(),
    )


def read_judgement(location: Location) -> Judgement | None:
    """Return the judgement of a study; None if it was not judged.

    Raises:
        CorruptError: The file is damaged.
    """
    return location.read_record(Judgement) if location.exists() else None


def _kls(
    workspace: Location, specs: Sequence[MemberSpec], labels: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(clips,) KL, nats, averaged over the members."""
    records = records_of(workspace, [spec.fingerprint for spec in specs])
    kls = [
        kl_per_clip(labels, read_predictions(record.folder(workspace), record)["held_out"])
        for record in records
    ]
    mean: NDArray[np.float64] = np.mean(kls, axis=0)
    return mean
