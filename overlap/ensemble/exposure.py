"""Records which training clips an ensemble was exposed to, identified by their audio.

A row of the catalogue identifies a clip only until its file changes or is renamed. An ensemble
therefore stores, for every training clip at its time, the digest of the samples, the fold whose
members did not train on the clip, and the clip's group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, partition
from overlap.catalog.rows import DIGEST
from overlap.config import ValidationConfig

LEARNED = -1
"""In place of a fold: every member trained on the clip."""
UNKNOWN = -2
"""In place of a fold: the clip did not exist when the ensemble was trained."""


@dataclass(frozen=True, eq=False)
class TrainingExposure:
    """The training clips at the time of an ensemble."""

    audio: NDArray[np.bytes_]
    """(clips,) digest of each clip's samples, from the catalogue."""
    fold: NDArray[np.int64]
    """(clips,) the fold whose members did not train on the clip; `LEARNED` if all members did."""
    group: NDArray[np.str_]
    """(clips,) group of each clip; empty without groups."""
    folds: int
    """Number of folds; 1 with a hold-out or without held-out clips."""
    complete: bool = True
    """Whether all training clips are included, not only the held-out ones."""

    @property
    def held_out(self) -> NDArray[np.bytes_]:
        """Digests of the held-out clips, in the order of the ensemble's held-out predictions."""
        return self.audio[self.fold >= 0]

    def fold_of(self, audio: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Return the fold whose members did not train on each digest.

        Audio that occurs under several ids counts as trained on, unless all of its clips are in
        one fold: a member that left out one of them may have trained on another.

        Args:
            audio: (n,) digests.

        Returns:
            (n,) folds; `LEARNED` if every member may have trained on the audio, `UNKNOWN` if the
            ensemble's clips do not include it.
        """
        digests, at = np.unique(self.audio, return_inverse=True)
        lowest, highest = np.full(len(digests), self.folds), np.full(len(digests), LEARNED)
        np.minimum.at(lowest, at, self.fold)
        np.maximum.at(highest, at, self.fold)
        fold = np.where(lowest == highest, lowest, LEARNED)
        index, known = _lookup(digests, audio)
        folds = np.full(len(audio), UNKNOWN)
        folds[known] = fold[index[known]]
        return folds

    def held_out_index(self, audio: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """Return the (n,) index of each digest in `held_out`; arbitrary for other digests."""
        digests, first = np.unique(self.held_out, return_index=True)
        index, known = _lookup(digests, audio)
        indices = np.zeros(len(audio), np.int64)
        indices[known] = first[index[known]]
        return indices

    def to_arrays(self, scheme: str) -> dict[str, NDArray[Any]]:
        """Return the arrays to store with an ensemble's predictions.

        Args:
            scheme: Definition of the digests, see `digest_scheme`.
        """
        return {
            "train_audio": self.audio,
            "train_fold": self.fold.astype(np.int16),
            "train_group": self.group,
            "train_folds": np.array(self.folds),
            "train_named_by": np.array(scheme),
        }

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, NDArray[Any]], scheme: str
    ) -> "TrainingExposure | None":
        """Restore from stored arrays; None if they lack an exposure or use another scheme."""
        if "train_audio" not in arrays or str(arrays["train_named_by"]) != scheme:
            return None
        fold = arrays["train_fold"].astype(np.int64)
        if "held_out" not in arrays:  # no predictions exist for the clips left out
            fold = np.full_like(fold, LEARNED)
        folds = int(arrays["train_folds"])
        return cls(arrays["train_audio"], fold, arrays["train_group"], folds)


def training_exposure(catalog: Catalog, validation: ValidationConfig) -> TrainingExposure:
    """Return the exposure of an ensemble that is trained on this catalogue."""
    rows, folds = catalog.rows("train"), validation.folds or 1
    fold = np.full(len(rows), LEARNED)
    for index in range(folds):
        held_out = partition(catalog, validation, index).held_out
        fold[np.searchsorted(rows, held_out)] = index
    group = catalog.clips["group"].to_numpy(np.str_)[rows]
    return TrainingExposure(clip_digests(catalog, rows), fold, group, folds)


def clip_digests(catalog: Catalog, rows: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """Return the (rows,) digests of the samples of usable clips."""
    return catalog.clips["digest"].to_numpy(object)[rows].astype(np.bytes_)


def digest_scheme(catalog: Catalog) -> str:
    """Return the definition of the digests; only digests of the same scheme are comparable."""
    return f"{DIGEST} of {catalog.wanted.samples} samples at {catalog.wanted.sample_rate} Hz"


def _lookup(
    digests: NDArray[np.bytes_], wanted: NDArray[np.bytes_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return the index of each wanted digest among sorted digests, and whether it is present."""
    index = np.searchsorted(digests, wanted)
    known = np.zeros(len(wanted), np.bool_)
    inside = index < len(digests)
    known[inside] = digests[index[inside]] == wanted[inside]
    return index, known
