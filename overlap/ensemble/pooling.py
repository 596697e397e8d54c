"""Many members' predictions made one, and how the score falls as members are added."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, partition
from overlap.config import ValidationConfig
from overlap.ensemble.scoring import kl, score, trivial_prediction
from overlap.errors import CorruptError


def pool_mean(predictions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Arithmetic mean of the members' probabilities.

    Args:
        predictions: (members, clips, words).

    Returns:
        (clips, words) float64. The members' order changes no bit: they are sorted first.
    """
    mean: NDArray[np.float64] = np.sort(predictions.astype(np.float64), axis=0).mean(axis=0)
    return mean


@dataclass(frozen=True, eq=False)
class HeldOut:
    """What the members say of training clips that they have not learned from.

    With a hold-out every member predicts the same clips, and a round is one member. With folds
    a round is one member per fold, and together they predict every training clip.
    """

    rows: NDArray[np.int64]
    """(clips,) rows of the catalogue, ascending."""
    rounds: NDArray[np.float64]
    """(rounds, clips, words) float64."""
    labels: NDArray[np.float64]
    """(clips, words) float64."""
    trivial: NDArray[np.float64]
    """(clips, words) float64: mean label of the clips that were learned from."""


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
    rounds = np.full((len(members) // folds, *labels.shape), np.nan)
    filled = [0] * folds
    for fold, member_rows, predictions in members:
        if not np.array_equal(member_rows, parts[fold].held_out):
            raise CorruptError("a member's held-out clips are not those of its fold; remove it")
        if filled[fold] < len(rounds):
            rounds[filled[fold], np.searchsorted(rows, member_rows)] = predictions
            filled[fold] += 1
    return HeldOut(rows, rounds, labels, trivial)


@dataclass(frozen=True)
class CurvePoint:
    """The score of the first members together."""

    members: int
    kl: float
    """KL of their pooled prediction on held-out clips."""
    low: float
    """Lower end of its 95 % interval over clips."""
    high: float
    """Upper end."""


def curve(held_out: HeldOut, words: tuple[str, ...]) -> list[CurvePoint]:
    """KL on held-out clips of the ensemble as it grows, round by round."""
    points = []
    for count in range(1, len(held_out.rounds) + 1):
        judged = score(held_out.labels, pool_mean(held_out.rounds[:count]), words)
        points.append(CurvePoint(count, judged.kl, judged.low, judged.high))
    return points


def trivial_kl(held_out: HeldOut) -> float:
    """KL on held-out clips of predicting the mean training label."""
    return kl(held_out.labels, held_out.trivial)
