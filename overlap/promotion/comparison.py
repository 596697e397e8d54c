"""Compares two ensembles on the clips that neither of them trained on.

A clip qualifies if the challenger held it out (identified by its current audio) and the champion

- has a held-out prediction of the same audio, or
- trained neither on it nor on its group because the clip is newer: then the champion predicts it
  for the comparison (`overlap.promotion.challenge`).

Both ensembles are scored against the current labels. The comparison is paired, clip by clip. Its
interval is a bootstrap over clips, which resamples whole groups where there are enough of them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, are_grouped
from overlap.ensemble.exposure import UNKNOWN, TrainingExposure, clip_digests, digest_scheme
from overlap.ensemble.registry import EnsembleRecord, read_predictions
from overlap.errors import CorruptError, NotReadyError
from overlap.io.location import Location
from overlap.metrics.bootstrap import MIN_GROUPS, interval, resampled_means
from overlap.promotion.outcome import Comparison, PairedGain

DRAWS = 2000
"""Bootstrap resamples; ten resamples lie beyond each end of a 99 % interval."""


@dataclass(frozen=True, eq=False)
class Candidate:
    """A published ensemble with its training exposure and its held-out predictions."""

    record: EnsembleRecord
    exposure: TrainingExposure
    held_out: NDArray[np.float64]
    """(held-out clips, words) float64 probabilities, in the order of `exposure.held_out`; words in
    the order of the current catalogue."""


@dataclass(frozen=True, eq=False)
class SharedClips:
    """The clips that neither ensemble trained on."""

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue, ascending."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    groups: NDArray[np.int64]
    """(clips,) index of each clip's group; without groups every clip is its own group."""
    challenger: NDArray[np.float64]
    """(clips, words) float64: the challenger's held-out predictions."""
    champion: NDArray[np.float64]
    """(clips, words) float64: the champion's held-out predictions; NaN where it has none."""
    eligible_folds: NDArray[np.bool_]
    """(clips, folds): whether the champion's members of a fold may predict the clip, because they
    trained neither on it nor on its group; all False where a held-out prediction exists."""

    @property
    def needs_backfill(self) -> NDArray[np.bool_]:
        """(clips,) whether the champion has to predict the clip for the comparison."""
        return np.asarray(self.eligible_folds.any(axis=1))

    @classmethod
    def empty(cls) -> "SharedClips":
        """Return an instance without clips."""
        row, values = np.empty(0, np.int64), np.empty((0, 0))
        return cls(row, values, row, values, values, np.empty((0, 1), np.bool_))


def read_candidate(workspace: Location, record: EnsembleRecord, catalog: Catalog) -> Candidate:
    """Read the held-out predictions and the training exposure of an ensemble.

    Ensembles of earlier versions do not identify their clips by audio. Such an ensemble can still
    be compared on its held-out rows if `held_out_key` shows that they are unchanged; for all
    other clips its exposure is unknown.

    Raises:
        NotReadyError: The ensemble has other words (code `other-words`), its predictions cannot
            be read (`predictions-unreadable`) or do not match its clips
            (`predictions-mismatch`), or its exposure is unknown (`unknown-exposure`).
    """
    version, other = record.version, sorted(set(record.words) ^ set(catalog.words))
    if other:
        raise NotReadyError(
            f"{version} and the catalogue differ in these words: {', '.join(other)}",
            code="other-words", version=version, words=other,
        )  # fmt: skip
    try:
        saved = read_predictions(workspace, record)
    except (OSError, CorruptError):
        raise NotReadyError(
            f"the predictions of {version} cannot be read",
            code="predictions-unreadable", version=version,
        ) from None  # fmt: skip
    exposure = TrainingExposure.from_arrays(saved, digest_scheme(catalog)) or _unchanged_rows(
        catalog, record, saved
    )
    if exposure is None:
        raise NotReadyError(
            f"the clips that {version} trained on are unknown",
            code="unknown-exposure", version=version,
        )  # fmt: skip
    held_out = saved.get("held_out", np.empty((0, len(catalog.words))))
    if len(held_out) != len(exposure.held_out):
        raise NotReadyError(
            f"{version}: {len(held_out)} predictions of {len(exposure.held_out)} held-out clips",
            code="predictions-mismatch", version=version,
        )  # fmt: skip
    order = [record.words.index(word) for word in catalog.words]
    return Candidate(record, exposure, held_out[:, order].astype(np.float64))


def _unchanged_rows(
    catalog: Catalog, record: EnsembleRecord, saved: dict[str, NDArray[np.generic]]
) -> TrainingExposure | None:
    """Return the exposure of an older record if its held-out rows are unchanged, else None."""
    if "train_audio" in saved or "held_out" not in saved:
        return None
    rows = saved["held_out_rows"].astype(np.int64)
    if len(rows) and rows[-1] >= len(catalog):
        return None
    if catalog.key(rows, labels=True) != record.held_out_key:
        return None
    fold, group = np.zeros(len(rows), np.int64), np.full(len(rows), "")
    return TrainingExposure(clip_digests(catalog, rows), fold, group, 1, complete=False)


def find_shared_clips(catalog: Catalog, champion: Candidate, challenger: Candidate) -> SharedClips:
    """Find the clips that neither ensemble trained on, with the existing predictions."""
    rows = catalog.rows("train")
    audio, grouped = clip_digests(catalog, rows), are_grouped(catalog)
    group = catalog.clips["group"].to_numpy(np.str_)[rows]
    fold = champion.exposure.fold_of(audio)
    eligible_folds = np.zeros((len(rows), champion.exposure.folds), np.bool_)
    if champion.exposure.complete:
        eligible_folds[fold == UNKNOWN] = True
    if grouped:
        eligible_folds &= ~_trained_on_group(champion.exposure, fold, group)
    common = (challenger.exposure.fold_of(audio) >= 0) & ((fold >= 0) | eligible_folds.any(axis=1))
    champion_predictions = np.full((len(rows), len(catalog.words)), np.nan)
    predicted = fold >= 0
    champion_predictions[predicted] = champion.held_out[
        champion.exposure.held_out_index(audio[predicted])
    ]
    groups = np.unique(group[common], return_inverse=True)[1] if grouped else None
    return SharedClips(
        rows=rows[common],
        labels=catalog.labels[rows[common]],
        groups=np.arange(np.count_nonzero(common)) if groups is None else groups,
        challenger=challenger.held_out[challenger.exposure.held_out_index(audio[common])],
        champion=champion_predictions[common],
        eligible_folds=eligible_folds[common],
    )


def _trained_on_group(
    exposure: TrainingExposure, fold: NDArray[np.int64], group: NDArray[np.str_]
) -> NDArray[np.bool_]:
    """(clips, folds) whether the members of each fold trained on the group of each clip.

    Both the current groups and the recorded ones count, because clips that have been removed
    since appear only among the recorded ones.

    Args:
        exposure: Exposure of the ensemble.
        fold: (clips,) fold of each current clip according to the exposure.
        group: (clips,) group of each current clip.
    """
    trained = np.empty((len(group), exposure.folds), np.bool_)
    for index in range(exposure.folds):
        current = group[(fold != index) & (fold != UNKNOWN)]
        recorded = exposure.group[exposure.fold != index]
        trained[:, index] = np.isin(group, np.union1d(current, recorded))
    return trained


def compare(
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
        groups: (clips,) index of each clip's group.
        newer: (clips,) whether the champion predicted the clip for this comparison.
        confidence: Confidence level of the interval.
    """
    champion_kl, challenger_kl = kls.mean(axis=1).tolist()
    return Comparison(
        champion=champion,
        newer=int(np.count_nonzero(newer)),
        champion_kl=champion_kl,
        challenger_kl=challenger_kl,
        **paired_gain(kls[0] - kls[1], groups, confidence).model_dump(),
    )


def paired_gain(
    gains: NDArray[np.float64], groups: NDArray[np.int64], confidence: float
) -> PairedGain:
    """Return the mean gain with the interval of a clustered bootstrap.

    Args:
        gains: (clips,) reduction of each clip's KL, nats; at least one clip.
        groups: (clips,) index of each clip's group; without groups every clip is its own group.
        confidence: Confidence level of the interval.
    """
    count = len(np.unique(groups))
    low, high = interval(resampled_means(gains[None], groups, DRAWS)[:, 0], confidence)
    return PairedGain(
        clips=len(gains),
        gain=float(gains.mean()),
        low=low,
        high=high,
        confidence=confidence,
        groups=count if count < len(gains) else None,
        whole=MIN_GROUPS <= count < len(gains),
    )
