"""What the members say of training clips that they have not learned from, put together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, are_grouped, partition
from overlap.config import ValidationConfig
from overlap.errors import CorruptError
from overlap.metrics.divergence import kl, trivial_prediction


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Predictions of complete rounds on held-out clips.

    With a hold-out every member predicts the same clips, and a round is one member. With folds
    a round is one member per fold, and together they predict every training clip: the k-th
    member there is of each fold makes round k. Members beyond the last complete round take part
    in the ensemble but not in its score.
    """

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue, ascending."""
    rounds: NDArray[np.float64]
    """(rounds, clips, words) float64."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    trivial: NDArray[np.float64]
    """(clips, words) float64: mean label of the clips that were learned from."""
    groups: NDArray[np.int64]
    """(clips,) group of each clip; each clip its own where groups are not known."""
    members: NDArray[np.int64]
    """(rounds, folds) which members make each round, as indexes of the members given."""

    @property
    def per_round(self) -> int:
        """Members of a round."""
        return int(self.members.shape[1])

    def first(self, rounds: int) -> "HeldOut":
        """With the first rounds alone."""
        return HeldOut(
            self.rows, self.rounds[:rounds], self.labels, self.trivial, self.groups,
            self.members[:rounds],
        )  # fmt: skip


def gather_held_out(
    catalog: Catalog,
    validation: ValidationConfig,
    members: Sequence[tuple[int, NDArray[np.int64], NDArray[np.float64]]],
) -> HeldOut | None:
    """Put held-out predictions together.

    Args:
        catalog: The clips.
        validation: How clips were held out.
        members: fold, rows and (rows, words) predictions of each member.

    Returns:
        None where nothing is held out.

    Raises:
        CorruptError: a member's rows are not those of its fold.
    """
    if not validation.folds and not validation.holdout:
        return None
    folds = validation.folds or 1
    parts = [partition(catalog, validation, fold) for fold in range(folds)]
    rows = np.sort(np.concatenate([part.held_out for part in parts]))
    labels = catalog.labels[rows]
    trivial = np.empty_like(labels)
    for part in parts:
        at = np.searchsorted(rows, part.held_out)
        trivial[at] = trivial_prediction(catalog.labels[part.train], len(at))
    of_fold = [[n for n, (f, *_) in enumerate(members) if f == fold] for fold in range(folds)]
    count = min(len(found) for found in of_fold)
    chosen = np.array([found[:count] for found in of_fold], np.int64).reshape(folds, count).T
    rounds = np.full((count, *labels.shape), np.nan)
    for index, (fold, member_rows, predictions) in enumerate(members):
        if not np.array_equal(member_rows, parts[fold].held_out):
            raise CorruptError("a member's held-out clips are not those of its fold; remove it")
        for place in np.flatnonzero(chosen[:, fold] == index):
            rounds[place, np.searchsorted(rows, member_rows)] = predictions
    return HeldOut(rows, rounds, labels, trivial, _groups(catalog, rows), chosen)


def _groups(catalog: Catalog, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(clips,) group of each row, as `partition` sees them."""
    if not are_grouped(catalog):
        return np.arange(len(rows))
    groups = catalog.clips["group"].to_numpy(np.str_)
    return np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)


def trivial_kl(held_out: HeldOut) -> float:
    """KL on held-out clips of predicting the mean training label."""
    return kl(held_out.labels, held_out.trivial)
