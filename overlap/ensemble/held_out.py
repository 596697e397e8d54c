"""Combines the members' predictions of the training clips that they held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, are_grouped, partition
from overlap.config import ValidationConfig
from overlap.errors import CorruptError
from overlap.metrics.disagreement import disagreement
from overlap.metrics.divergence import kl, trivial_prediction


@dataclass(frozen=True, eq=False)
class HeldOutPredictions:
    """Predictions of complete rounds on held-out clips.

    With a hold-out every member predicts the same clips, and a round is one member. With folds
    a round is one member per fold, which together predict every training clip: round k consists
    of the k-th available member of each fold. Members beyond the last complete round belong to the
    ensemble but do not contribute to its score.
    """

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue, ascending."""
    rounds: NDArray[np.float64]
    """(rounds, clips, words) float64 probabilities."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    trivial: NDArray[np.float64]
    """(clips, words) float64: mean label of the clips that the members trained on."""
    groups: NDArray[np.int64]
    """(clips,) index of each clip's group; without groups every clip is its own group."""
    members: NDArray[np.int64]
    """(rounds, folds) indices of the members of each round."""

    @property
    def per_round(self) -> int:
        """Members per round."""
        return int(self.members.shape[1])

    def first_rounds(self, rounds: int) -> "HeldOutPredictions":
        """Return a copy that has only the first rounds."""
        return HeldOutPredictions(
            self.rows, self.rounds[:rounds], self.labels, self.trivial, self.groups,
            self.members[:rounds],
        )  # fmt: skip


def combine_held_out(
    catalog: Catalog,
    validation: ValidationConfig,
    members: Sequence[tuple[int, NDArray[np.int64], NDArray[np.float64]]],
) -> HeldOutPredictions | None:
    """Combine the held-out predictions of several members.

    Args:
        catalog: The clips.
        validation: How clips were held out.
        members: Fold, (rows,) catalogue rows and (rows, words) predictions of each member.

    Returns:
        None if nothing is held out.

    Raises:
        CorruptError: The rows of a member are not those of its fold (code `wrong-held-out-rows`).
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
    by_fold = [[n for n, (f, *_) in enumerate(members) if f == fold] for fold in range(folds)]
    count = min(len(indices) for indices in by_fold)
    chosen = np.array([indices[:count] for indices in by_fold], np.int64).reshape(folds, count).T
    rounds = np.full((count, *labels.shape), np.nan)
    for index, (fold, member_rows, predictions) in enumerate(members):
        if not np.array_equal(member_rows, parts[fold].held_out):
            raise CorruptError(
                f"the held-out clips of member {index + 1} are not those of fold {fold}; "
                "remove the member, and the next run trains it again",
                code="wrong-held-out-rows", member=index + 1, fold=fold,
            )  # fmt: skip
        for round_index in np.flatnonzero(chosen[:, fold] == index):
            rounds[round_index, np.searchsorted(rows, member_rows)] = predictions
    return HeldOutPredictions(rows, rounds, labels, trivial, _groups(catalog, rows), chosen)


def member_divergence(
    rows: NDArray[np.int64],
    pooled: NDArray[np.float64],
    member_rows: NDArray[np.int64],
    predictions: NDArray[np.floating[Any]],
) -> NDArray[np.float64]:
    """Return KL(member || pooled) of clips, (clips,) nats; NaN where the member did not predict.

    Args:
        rows: (clips,) rows of the catalogue.
        pooled: (clips, words) predictions of the ensemble.
        member_rows: Rows that the member predicted, ascending.
        predictions: Its predictions, (member_rows, words).
    """
    found = np.full(len(rows), np.nan)
    if len(member_rows) and len(rows):
        at, known = positions(rows, member_rows)
        found[known] = disagreement(predictions[at[known]].astype(np.float64)[None], pooled[known])
    return found


def positions(
    rows: NDArray[np.int64], known: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Return where rows are among known rows, and whether they are among them.

    Args:
        rows: (clips,) rows.
        known: Rows, ascending.
    """
    if not len(known):
        return np.zeros(len(rows), np.int64), np.zeros(len(rows), np.bool_)
    at = np.searchsorted(known, rows).clip(max=len(known) - 1)
    return at, known[at] == rows


def held_out_disagreement(
    divergence: NDArray[np.float64], folds: Sequence[int], per_round: int
) -> NDArray[np.float64]:
    """Return the disagreement of the members that were pooled for each held-out clip.

    Needs no catalogue, so it also applies to clips that were held out when there were fewer.

    Args:
        divergence: (members, clips) of `member_divergence`.
        folds: (members,) the fold of each member.
        per_round: Members per round.

    Returns:
        (clips,) nats; NaN where it is unknown. Where all members exist it is equal to
        `overlap.metrics.disagreement` of the rounds.
    """
    found = np.full(divergence.shape[1], np.nan)
    by_fold = [[n for n, one in enumerate(folds) if one == fold] for fold in range(per_round)]
    rounds = min(map(len, by_fold))
    for members in by_fold:  # members beyond the last complete round are not pooled
        own = divergence[members[:rounds]]
        known = ~np.isnan(own).any(axis=0)
        if len(own) and known.any():
            found[known] = np.sort(own[:, known], axis=0).mean(axis=0)
    return found


def _groups(catalog: Catalog, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """(clips,) index of each row's group, as `partition` groups them."""
    if not are_grouped(catalog):
        return np.arange(len(rows))
    groups = catalog.clips["group"].to_numpy(np.str_)
    return np.unique(groups[rows], return_inverse=True)[1].astype(np.int64)


def trivial_kl(held_out: HeldOutPredictions) -> float:
    """Return the KL on held-out clips of predicting the mean training label, nats."""
    return kl(held_out.labels, held_out.trivial)
