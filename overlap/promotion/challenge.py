"""A duel from its plan to its outcome; in between the champion predicts clips that came after it.

A held-out clip of the challenger is predicted by its members that left the clip out: all of them
with a hold-out, those of one fold with folds. So is a new clip by the champion's: by the members
of each fold that has not heard the clip's group, one fold at a time, and the champion's KL on the
clip is the mean over those folds. All of its members together would be several times as many as
what they are compared with.
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
from overlap.prediction.jobs import PredictionJob, jobs_for, members_of, read_found
from overlap.promotion.comparison import Comparison, SharedClips, find_ground, judge, read_contender
from overlap.training.spec import MemberRecord


@dataclass(frozen=True, eq=False)
class BackfillJob:
    """New clips that the members of one fold predict."""

    clips: NDArray[np.int64]
    """Which clips of the ground they are, in the order of the jobs' files."""
    jobs: tuple[PredictionJob, ...]

    def found(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Clips of the ground and what is said of them, as far as the jobs are done."""
        start = 0
        for job in self.jobs:
            part, clips = read_found(job), self.clips[start : start + len(job.files)]
            start += len(clips)
            if part is not None:
                usable = part.reason == ""
                yield clips[usable], part.shares[usable].astype(np.float64)


@dataclass(frozen=True, eq=False)
class ComparisonPlan:
    """A duel before it is judged."""

    champion: str
    """Version of the champion."""
    ground: SharedClips
    order: tuple[int, ...] = ()
    """Which of the champion's words stands at each place of the catalogue's."""
    asked: tuple[BackfillJob, ...] = ()
    obstacle: str = ""
    """Why they cannot be compared on all clips that neither has seen, or on none."""

    def missing(self) -> list[PredictionJob]:
        """Jobs that the champion has still to do."""
        found = ((job, read_found(job)) for asked in self.asked for job in asked.jobs)
        return [job for job, part in found if part is None or not part.settled]

    def judged(self, confidence: float) -> Comparison | None:
        """The outcome, on clips of which both have a prediction; None where there are none."""
        ground, newer = self.ground, self.ground.needs_backfill
        theirs = self._kl_of_newer()
        theirs[~newer] = kl_per_clip(ground.labels[~newer], ground.champion[~newer])
        both = np.isfinite(theirs)
        if not both.any():
            return None
        kls = np.stack([theirs, kl_per_clip(ground.labels, ground.challenger)])
        return judge(self.champion, kls[:, both], ground.groups[both], newer[both], confidence)

    def _kl_of_newer(self) -> NDArray[np.float64]:
        """(clips,) the champion's, averaged over its folds; NaN where none has predicted it."""
        labels = self.ground.labels
        total, count = np.zeros(len(labels)), np.zeros(len(labels))
        for asked in self.asked:
            for clips, said in asked.found():
                total[clips] += kl_per_clip(labels[clips], said[:, self.order])
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
    """What a duel is about, and what the champion has to predict for it.

    Args:
        workspace: The workspace.
        champion: The champion.
        challenger: The new ensemble.
        catalog: The catalogue of the workspace; None: it is read.
    """
    catalog = Catalog.load(workspace) if catalog is None else catalog
    try:
        one, other = (read_contender(workspace, r, catalog) for r in (champion, challenger))
    except NotReadyError as error:
        return ComparisonPlan(champion.version, SharedClips.nothing(), obstacle=str(error))
    if challenger.kl is None:
        without = "it holds out no clips (validation.holdout, validation.folds)"
        return ComparisonPlan(champion.version, SharedClips.nothing(), obstacle=without)
    ground = find_ground(catalog, one, other)
    order = tuple(champion.words.index(word) for word in catalog.words)
    plan = ComparisonPlan(champion.version, ground, order)
    if not ground.needs_backfill.any():
        return plan
    try:
        members = members_of(workspace, champion)
    except (MemberError, CorruptError) as error:
        newer = np.count_nonzero(ground.needs_backfill)
        newest = f"{champion.version} cannot predict the {newer} clips newer than it"
        return replace(plan, obstacle=f"{newest}: {error}")
    asked = []
    for fold, of_fold in enumerate(by_fold(members, one.knowledge.folds)):
        clips = np.flatnonzero(ground.eligible_folds[:, fold])
        if not of_fold:
            continue
        files = catalog.clips.iloc[ground.rows[clips]][["file", "version"]]
        jobs = jobs_for(workspace, workspace, champion, of_fold, catalog.data, files)
        asked.append(BackfillJob(clips, jobs))
    return replace(plan, asked=tuple(asked))


def by_fold(members: Sequence[MemberRecord], folds: int) -> list[list[MemberRecord]]:
    """The members of each fold, as many of each as there are complete rounds.

    Members beyond the last complete round took no part in the held-out predictions either.
    """
    found = [[member for member in members if member.spec.fold == fold] for fold in range(folds)]
    count = min(len(of_fold) for of_fold in found)
    return [of_fold[:count] for of_fold in found]
