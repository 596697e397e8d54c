"""Two ensembles on the clips that neither of them has seen.

Those are the challenger's held-out clips, by the sound they hold now, as far as the champion

- has a held-out prediction of the same sound, or
- never learned from it nor from its group, since it is newer: then the champion predicts it now
  (`overlap.promotion.challenge`).

Labels are those of today for both. What is compared is the difference clip by clip, and its
interval comes from drawing clips again, whole groups together where there are enough.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, are_grouped
from overlap.ensemble.exposure import UNKNOWN, TrainingExposure, audio_of, naming
from overlap.ensemble.registry import EnsembleRecord, read_predictions
from overlap.errors import CorruptError, NotReadyError
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.metrics.bootstrap import MIN_GROUPS, interval, resampled_means

DRAWS = 2000
"""Resamples: an end of the widest interval, of 99 %, then lies on the tenth from its side."""


class Comparison(Record):
    """What came of it."""

    champion: str
    """Version that was champion."""
    clips: int
    """Clips that neither has seen."""
    newer: int
    """Those of them that the champion predicted for this, since they came after it."""
    champion_kl: float
    """KL of the champion there, nats."""
    challenger_kl: float
    """KL of the challenger there."""
    gain: float
    """By how much the challenger's is lower, nats."""
    low: float
    """Lower end of the interval of the gain, over clips, the two paired."""
    high: float
    """Upper end."""
    confidence: float
    """Of that interval."""
    groups: int | None
    """Groups that the clips are of; None where they are not known."""
    whole: bool
    """Whether groups were drawn whole. With fewer than `MIN_GROUPS` clips are drawn one by one,
    and the interval is too narrow where groups differ much."""

    @property
    def drawn(self) -> str:
        """What the interval comes from."""
        if self.groups is None:
            return "single clips"
        named = f"{self.groups} group{'s' if self.groups > 1 else ''}"
        return named if self.whole else f"single clips of {named}"

    def __str__(self) -> str:
        newer = f", {self.newer} of them newer than it" if self.newer else ""
        drawn = f", over {self.drawn}" if self.groups else ""
        return (
            f"KL {self.challenger_kl:.4f} against {self.champion_kl:.4f} of {self.champion} on "
            f"{self.clips} clips that neither has seen{newer}; gain {self.gain:.4f}, "
            f"{100 * self.confidence:g} % interval {self.low:.4f} to {self.high:.4f}{drawn}"
        )


@dataclass(frozen=True, eq=False)
class Candidate:
    """A published ensemble: what it knows, and what it says of clips that it has not seen."""

    record: EnsembleRecord
    knowledge: TrainingExposure
    held_out: NDArray[np.float64]
    """(held-out clips, words) float64, in the order of `knowledge.held_out`; the words are those
    of today's catalogue, in its order."""


@dataclass(frozen=True, eq=False)
class SharedClips:
    """The clips of a duel."""

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue, ascending."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    groups: NDArray[np.int64]
    """(clips,) the group of each; each clip its own where groups are not known."""
    challenger: NDArray[np.float64]
    """(clips, words) float64: what the challenger says of them."""
    champion: NDArray[np.float64]
    """(clips, words) float64: what the champion said; NaN where it has to be asked."""
    eligible_folds: NDArray[np.bool_]
    """(clips, folds): which folds of the champion's members may be asked, having learned neither
    from the clip nor from its group; none where it need not be asked."""

    @property
    def needs_backfill(self) -> NDArray[np.bool_]:
        """(clips,) whether the champion has to be asked."""
        return np.asarray(self.eligible_folds.any(axis=1))

    @classmethod
    def nothing(cls) -> "SharedClips":
        """No clip at all."""
        row, said = np.empty(0, np.int64), np.empty((0, 0))
        return cls(row, said, row, said, said, np.empty((0, 1), np.bool_))


def read_contender(workspace: Location, record: EnsembleRecord, catalog: Catalog) -> Candidate:
    """An ensemble as a contender.

    A record of an earlier version does not name its clips. Where its held-out rows still hold
    what they held, as `held_out_key` tells, it can be compared on them; of other clips nobody
    knows whether it learned from them.

    Raises:
        NotReadyError: it cannot be told what it knows, or it has other words.
    """
    other = sorted(set(record.words) ^ set(catalog.words))
    if other:
        raise NotReadyError(f"{record.version} has other words: {', '.join(other)}")
    try:
        saved = read_predictions(workspace, record)
    except (OSError, CorruptError):
        raise NotReadyError(f"the predictions of {record.version} cannot be read") from None
    knowledge = TrainingExposure.of(saved, naming(catalog)) or _of_same_rows(catalog, record, saved)
    if knowledge is None:
        raise NotReadyError(f"it is not known which clips {record.version} learned from")
    said = saved.get("held_out", np.empty((0, len(catalog.words))))
    if len(said) != len(knowledge.held_out):
        raise NotReadyError(f"the predictions of {record.version} are not those of its clips")
    order = [record.words.index(word) for word in catalog.words]
    return Candidate(record, knowledge, said[:, order].astype(np.float64))


def _of_same_rows(
    catalog: Catalog, record: EnsembleRecord, saved: dict[str, NDArray[np.generic]]
) -> TrainingExposure | None:
    if "train_audio" in saved or "held_out" not in saved:
        return None
    rows = saved["held_out_rows"].astype(np.int64)
    if len(rows) and rows[-1] >= len(catalog):
        return None
    if catalog.key(rows, labels=True) != record.held_out_key:
        return None
    fold, group = np.zeros(len(rows), np.int64), np.full(len(rows), "")
    return TrainingExposure(audio_of(catalog, rows), fold, group, 1, complete=False)


def find_ground(catalog: Catalog, champion: Candidate, challenger: Candidate) -> SharedClips:
    """The clips that neither has seen, and what is known there already."""
    rows = catalog.rows("train")
    audio, grouped = audio_of(catalog, rows), are_grouped(catalog)
    group = catalog.clips["group"].to_numpy(np.str_)[rows]
    theirs = champion.knowledge.fold_of(audio)
    eligible_folds = np.zeros((len(rows), champion.knowledge.folds), np.bool_)
    if champion.knowledge.complete:
        eligible_folds[theirs == UNKNOWN] = True
    if grouped:
        eligible_folds &= ~_heard(champion.knowledge, theirs, group)
    common = (challenger.knowledge.fold_of(audio) >= 0) & (
        (theirs >= 0) | eligible_folds.any(axis=1)
    )
    said = np.full((len(rows), len(catalog.words)), np.nan)
    old = theirs >= 0
    said[old] = champion.held_out[champion.knowledge.place_of(audio[old])]
    names = np.unique(group[common], return_inverse=True)[1] if grouped else None
    return SharedClips(
        rows=rows[common],
        labels=catalog.labels[rows[common]],
        groups=np.arange(np.count_nonzero(common)) if names is None else names,
        challenger=challenger.held_out[challenger.knowledge.place_of(audio[common])],
        champion=said[common],
        eligible_folds=eligible_folds[common],
    )


def _heard(
    knowledge: TrainingExposure, fold: NDArray[np.int64], group: NDArray[np.str_]
) -> NDArray[np.bool_]:
    """(clips, folds) whether the members of each fold learned from the group of each clip.

    By the groups of today and by those of the ensemble's time: clips that are gone since have
    only the latter.

    Args:
        knowledge: The ensemble's.
        fold: (clips,) of today's clips, as it tells them.
        group: (clips,) of today's clips.
    """
    heard = np.empty((len(group), knowledge.folds), np.bool_)
    for index in range(knowledge.folds):
        now = group[(fold != index) & (fold != UNKNOWN)]
        then = knowledge.group[knowledge.fold != index]
        heard[:, index] = np.isin(group, np.union1d(now, then))
    return heard


def judge(
    champion: str,
    kls: NDArray[np.float64],
    groups: NDArray[np.int64],
    newer: NDArray[np.bool_],
    confidence: float,
) -> Comparison:
    """Compare two ensembles clip by clip.

    Args:
        champion: Version of the champion.
        kls: (2, clips) KL of champion and challenger, nats; at least one clip.
        groups: (clips,) the group of each clip.
        newer: (clips,) whether the champion was asked for this.
        confidence: Of the interval.
    """
    gains = kls[0] - kls[1]
    names = len(np.unique(groups))
    drawn = resampled_means(gains[None], groups, DRAWS)[:, 0]
    low, high = interval(drawn, confidence)
    of_champion, of_challenger = kls.mean(axis=1)
    return Comparison(
        champion=champion,
        clips=len(gains),
        newer=int(np.count_nonzero(newer)),
        champion_kl=float(of_champion),
        challenger_kl=float(of_challenger),
        gain=float(gains.mean()),
        low=low,
        high=high,
        confidence=confidence,
        groups=names if names < len(gains) else None,
        whole=MIN_GROUPS <= names < len(gains),
    )
