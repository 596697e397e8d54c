"""Which training clips an ensemble knew, named by their sound, so that they are found for ever.

A row of the catalogue names a clip only as long as its file stays as it is, and a file may be
renamed. So an ensemble keeps, for every training clip of its time, the digest of its samples, the
fold whose members did not learn from it, and its group.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, partition
from overlap.catalog.inspection import DIGEST
from overlap.config import ValidationConfig

LEARNED, UNKNOWN = -1, -2
"""In place of a fold: every member learned from the clip; there was no such clip."""


@dataclass(frozen=True, eq=False)
class TrainingExposure:
    """The training clips of an ensemble's time."""

    audio: NDArray[np.bytes_]
    """(clips,) digest of each clip's samples, as the catalogue has it."""
    fold: NDArray[np.int64]
    """(clips,) the fold whose members did not learn from it; `LEARNED` where there is none."""
    group: NDArray[np.str_]
    """(clips,) its group; empty where it has none."""
    folds: int
    """How many folds there were; 1 with a hold-out, or where nothing was held out."""
    complete: bool = True
    """Whether these are all of its training clips, or only those that were held out."""

    @property
    def held_out(self) -> NDArray[np.bytes_]:
        """Digests of the clips of which it has predictions, in their order."""
        return self.audio[self.fold >= 0]

    def fold_of(self, audio: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """(asked,) the fold whose members never learned from each sound; else as in `fold`.

        A sound that stands under several ids was learned from, unless all of them are of one
        fold: a member that left out one of them may have learned from another.
        """
        names, at = np.unique(self.audio, return_inverse=True)
        lowest, highest = np.full(len(names), self.folds), np.full(len(names), LEARNED)
        np.minimum.at(lowest, at, self.fold)
        np.maximum.at(highest, at, self.fold)
        own = np.where(lowest == highest, lowest, LEARNED)
        place, known = _places(names, audio)
        found = np.full(len(audio), UNKNOWN)
        found[known] = own[place[known]]
        return found

    def place_of(self, audio: NDArray[np.bytes_]) -> NDArray[np.int64]:
        """(asked,) where each sound stands in `held_out`; of sounds that do not, anything."""
        names, first = np.unique(self.held_out, return_index=True)
        place, known = _places(names, audio)
        found = np.zeros(len(audio), np.int64)
        found[known] = first[place[known]]
        return found

    def arrays(self, named_by: str) -> dict[str, NDArray[Any]]:
        """For the file of an ensemble's predictions; `named_by` says what digests mean."""
        return {
            "train_audio": self.audio,
            "train_fold": self.fold.astype(np.int16),
            "train_group": self.group,
            "train_folds": np.array(self.folds),
            "train_named_by": np.array(named_by),
        }

    @classmethod
    def of(cls, arrays: Mapping[str, NDArray[Any]], named_by: str) -> "TrainingExposure | None":
        """From such a file; None where it holds nothing of this, or digests of another kind."""
        if "train_audio" not in arrays or str(arrays["train_named_by"]) != named_by:
            return None
        fold = arrays["train_fold"].astype(np.int64)
        if "held_out" not in arrays:  # what it did not learn from it has not predicted
            fold = np.full_like(fold, LEARNED)
        folds = int(arrays["train_folds"])
        return cls(arrays["train_audio"], fold, arrays["train_group"], folds)


def known_clips(catalog: Catalog, validation: ValidationConfig) -> TrainingExposure:
    """What members that are trained on this catalogue know."""
    rows, folds = catalog.rows("train"), validation.folds or 1
    fold = np.full(len(rows), LEARNED)
    for index in range(folds):
        held_out = partition(catalog, validation, index).held_out
        fold[np.searchsorted(rows, held_out)] = index
    group = catalog.clips["group"].to_numpy(np.str_)[rows]
    return TrainingExposure(audio_of(catalog, rows), fold, group, folds)


def audio_of(catalog: Catalog, rows: NDArray[np.int64]) -> NDArray[np.bytes_]:
    """(rows,) digests of the samples of usable clips."""
    return catalog.clips["digest"].to_numpy(object)[rows].astype(np.bytes_)


def naming(catalog: Catalog) -> str:
    """What digests are made of: only those of one kind can be compared."""
    return f"{DIGEST} of {catalog.wanted.samples} samples at {catalog.wanted.sample_rate} Hz"


def _places(
    names: NDArray[np.bytes_], asked: NDArray[np.bytes_]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Where each one stands among sorted names, and whether it does."""
    place = np.searchsorted(names, asked)
    known = np.zeros(len(asked), np.bool_)
    inside = place < len(names)
    known[inside] = names[place[inside]] == asked[inside]
    return place, known
