"""The score, in float64, by one function that everything uses.

KL(p || q) = sum_w p_w * log(p_w / q_w), in nats, averaged over clips, with 0 * log(0) = 0. A
prediction of 0 where the label is not costs log(p / `SMALLEST`) instead of infinity, as the
competition's and Keras's own loss do with their epsilon.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SMALLEST = 1e-7
"""Predictions are raised to this before the logarithm (Keras's epsilon)."""
CALIBRATION_BINS = 10


def kl_per_cell(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(clips, words) float64: p * log(p / q), the terms of the divergence."""
    p, q = np.asarray(labels, np.float64), np.asarray(predictions, np.float64)
    if p.shape != q.shape:
        raise ValueError(f"labels have shape {p.shape}, predictions {q.shape}")
    positive = p > 0
    terms = np.zeros(p.shape)
    terms[positive] = p[positive] * np.log(p[positive] / np.maximum(q[positive], SMALLEST))
    return terms


def kl_per_clip(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(clips,) float64: KL(label || prediction), nats.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
    """
    clips: NDArray[np.float64] = kl_per_cell(labels, predictions).sum(axis=1)
    return clips


def kl(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Mean of `kl_per_clip`.

    Examples:
        >>> round(kl(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])), 6)
        0.143841
    """
    return float(kl_per_clip(labels, predictions).mean())


def trivial_prediction(labels: NDArray[np.float64], clips: int) -> NDArray[np.float64]:
    """(clips, words): the mean training label for every clip, what knows nothing of the sound."""
    mean = labels.mean(axis=0)
    return np.tile(mean / mean.sum(), (clips, 1))


@dataclass(frozen=True)
class Score:
    """All that one set of predictions is judged by."""

    kl: float
    """Mean KL divergence, nats."""
    low: float
    """Lower end of its 95 % interval over clips (normal approximation)."""
    high: float
    """Upper end of the interval."""
    cross_entropy: float
    """Mean cross-entropy, nats: `kl` plus `entropy`."""
    entropy: float
    """Mean entropy of the labels, nats: the part of the cross-entropy nothing can remove."""
    trivial_kl: float | None
    """KL of predicting the mean label; None when that is not given."""
    calibration_error: float
    """Mean distance of predicted and true share over bins of predicted share."""
    per_word: dict[str, float]
    """Each word's part of `kl`; they add up to it."""
    clips: int
    """Clips scored."""

    @property
    def gain(self) -> float | None:
        """By what fraction `kl` is below `trivial_kl`."""
        return gain_over(self.trivial_kl, self.kl)


def gain_over(trivial_kl: float | None, kl: float | None) -> float | None:
    """By what fraction a KL is below the trivial one; None where either is unknown, or that is 0.

    Examples:
        >>> gain_over(1.25, 0.5), gain_over(None, 0.5)
        (0.6, None)
    """
    return None if kl is None or not trivial_kl else 1 - kl / trivial_kl


def score(
    labels: NDArray[np.float64],
    predictions: NDArray[np.float64],
    words: tuple[str, ...],
    mean_label: NDArray[np.float64] | None = None,
) -> Score:
    """Judge predictions.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
        words: Names of the columns.
        mean_label: (words,) mean label of the training clips, for the trivial prediction.
    """
    cells = kl_per_cell(labels, predictions)
    clips = cells.sum(axis=1)
    mean = float(clips.mean())
    margin = 1.96 * float(clips.std(ddof=1) / np.sqrt(len(clips))) if len(clips) > 1 else 0.0
    entropy = max(0.0, -kl(labels, np.ones_like(labels)))
    trivial = None
    if mean_label is not None:
        trivial = kl(labels, trivial_prediction(mean_label[None], len(labels)))
    return Score(
        kl=mean,
        low=mean - margin,
        high=mean + margin,
        cross_entropy=mean + entropy,
        entropy=entropy,
        trivial_kl=trivial,
        calibration_error=calibration_error(labels, predictions),
        per_word=dict(zip(words, cells.mean(axis=0).tolist(), strict=True)),
        clips=len(labels),
    )


def calibration_error(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Expected calibration error of the shares.

    Cells are put into `CALIBRATION_BINS` bins of equal width over the largest prediction; the
    result is the mean over cells of |mean prediction - mean label| of their bin.
    """
    q, p = predictions.ravel(), labels.ravel()
    top = max(float(q.max()), SMALLEST)
    bins = np.minimum((q / top * CALIBRATION_BINS).astype(np.int64), CALIBRATION_BINS - 1)
    gap = np.bincount(bins, q - p, CALIBRATION_BINS)
    return float(np.abs(gap).sum() / len(q))
