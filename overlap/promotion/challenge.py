"""Plans a comparison with the champion, which first predicts the clips that are newer than it.

The challenger's prediction of a held-out clip comes from the members that left the clip out: all
members with a hold-out, the members of one fold with folds. The champion's prediction of a new
clip is made comparable in size: the members of each fold that did not train on the clip's group
predict it, one fold at a time, and the champion's KL on the clip is the mean over those folds.
Pooling all members of the champion would compare several times as many members with the
challenger's one fold.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import CorruptError, MemberError, NotReadyError
from overlap.io.location import Location
from overlap.metrics.divergence import kl_per_clip
from overlap.prediction.jobs import PredictionJob, jobs_for, members_of, read_chunk
from overlap.promotion.comparison import (
    SharedClips,
    compare,
    find_shared_clips,
    read_candidate,
)
from overlap.promotion.outcome import Comparison
from overlap.training.spec import MemberRecord


@dataclass(frozen=True, eq=False)
class BackfillJob:
    """New clips that the champion's members of one fold predict."""

    clips: NDArray[np.int64]
    """(clips,) indices into the shared clips, in the order of the jobs' files."""
    jobs: tuple[PredictionJob, ...]

    def predictions(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Yield the usable clips of each finished job and their predictions.

        Yields:
            (clips,) indices into the shared clips and (clips, words) float64 probabilities.
        """
        start = 0
        for job in self.jobs:
            chunk, clips = read_chunk(job), self.clips[start : start + len(job.files)]
            start += len(clips)
            if chunk is not None:
                usable = chunk.reason == ""
                yield clips[usable], chunk.probabilities[usable].astype(np.float64)


@dataclass(frozen=True, eq=False)
class ComparisonPlan:
    """A planned comparison of a challenger with the champion."""

    champion: str
    """Version of the champion."""
    shared: SharedClips
    word_order: tuple[int, ...] = ()
    """For each word of the catalogue, its index among the champion's words."""
    backfill: tuple[BackfillJob, ...] = ()
    """What the champion has to predict; one entry per fold."""
    obstacle: str = ""
    """Why some or all of the clips that neither trained on cannot be compared; empty if none."""

    @property
    def jobs(self) -> list[PredictionJob]:
        """What the champion has to predict, finished or not."""
        return [job for part in self.backfill for job in part.jobs]

    def missing(self) -> list[PredictionJob]:
        """Return the jobs that the champion has not finished."""
        chunks = ((job, read_chunk(job)) for job in self.jobs)
        return [job for job, chunk in chunks if chunk is None or not chunk.complete]

    def compare(self, confidence: float) -> Comparison | None:
        """Compare on the clips that both have predicted; None if there are none.

        Args:
            confidence: Confidence level of the gain's interval.
        """
        shared, newer = self.shared, self.shared.needs_backfill
        champion_kl = self._backfilled_kl()
        champion_kl[~newer] = kl_per_clip(shared.labels[~newer], shared.champion[~newer])
        both = np.isfinite(champion_kl)
        if not both.any():
            return None
        kls = np.stack([champion_kl, kl_per_clip(shared.labels, shared.challenger)])
        return compare(self.champion, kls[:, both], shared.groups[both], newer[both], confidence)

    def _backfilled_kl(self) -> NDArray[np.float64]:
        """(clips,) the champion's KL, averaged over its folds; NaN where no fold has predicted."""
        labels = self.shared.labels
        total, count = np.zeros(len(labels)), np.zeros(len(labels))
        for part in self.backfill:
            for clips, predictions in part.predictions():
                total[clips] += kl_per_clip(labels[clips], predictions[:, self.word_order])
                count[clips] += 1
        total[count == 0] = np.nan
        mean: NDArray[np.float64] = total / np.maximum(count, 1)
        return mean


def plan_comparison(
    workspace: Location,
    champion: EnsembleRecord,
    challenger: EnsembleRecord,
    catalog: Catalog | None = None,
) -> ComparisonPlan:
    """Find the clips to compare on, and the jobs that the champion has to run first.

    A comparison that is impossible, or possible only on a part of the clips, gives a plan with an
    `obstacle` instead of an error.
    """
    catalog = Catalog.load(workspace)
    try:
        current, new = (read_candidate(workspace, r, catalog) for r in (champion, challenger))
    except NotReadyError as error:
        return ComparisonPlan(champion.version, SharedClips.empty(), obstacle=str(error))
    if challenger.kl is None:
        obstacle = f"{challenger.version} holds out no clips (validation.holdout, validation.folds)"
        return ComparisonPlan(champion.version, SharedClips.empty(), obstacle=obstacle)
    shared = find_shared_clips(catalog, current, new)
    word_order = tuple(champion.words.index(word) for word in catalog.words)
    plan = ComparisonPlan(champion.version, shared, word_order)
    if not shared.needs_backfill.any():
        return plan
    try:
        members = members_of(workspace, champion)
    except (MemberError, CorruptError) as error:
        newer = np.count_nonzero(shared.needs_backfill)
        obstacle = f"{champion.version} cannot predict the {newer} clips newer than it: {error}"
        return replace(plan, obstacle=obstacle)
    backfill = []
    for fold, fold_members in enumerate(members_by_fold(members, current.exposure.folds)):
        clips = np.flatnonzero(shared.eligible_folds[:, fold])
        if not fold_members:
            continue
        files = catalog.clips.iloc[shared.rows[clips]][["file", "version"]]
        jobs = jobs_for(workspace, workspace, champion, fold_members, catalog.data, files)
        backfill.append(BackfillJob(clips, jobs))
    return replace(plan, backfill=tuple(backfill))


def members_by_fold(members: Sequence[MemberRecord], folds: int) -> list[list[MemberRecord]]:
    """Group members by fold; every fold gets as many members as there are complete rounds.

    Members beyond the last complete round have no part in the held-out predictions either.
    """
    groups = [[member for member in members if member.spec.fold == fold] for fold in range(folds)]
    rounds = min(len(group) for group in groups)
    return [group[:rounds] for group in groups]
