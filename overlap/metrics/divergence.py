"""Kullback-Leibler divergence of predictions, in float64, and the score built on it.

KL(p || q) = sum_w p_w * log(p_w / q_w), in nats, averaged over clips, with 0 * log(0) = 0. A
prediction of 0 for a word with a positive label costs p * log(p / `SMALLEST`) instead of infinity,
as in the competition's metric and Keras's loss with their epsilon.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.bootstrap import describe_units, interval, resampled_means
from overlap.metrics.calibration import calibration_error

SMALLEST = 1e-7
"""Lower bound of predictions before the logarithm (Keras's epsilon)."""


def kl_per_cell(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the terms of the divergence: (clips, words) float64, p * log(p / q).

    Raises:
        ValueError: the shapes differ.
    """
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
    """Return KL(label || prediction) of each clip: (clips,) float64, nats.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
    """
    clips: NDArray[np.float64] = kl_per_cell(labels, predictions).sum(axis=1)
    return clips


def kl(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Return the mean of `kl_per_clip`.

    Examples:
        >>> round(kl(np.array([[0.5, 0.5]]), np.array([[0.25, 0.75]])), 6)
        0.143841
    """
    return float(kl_per_clip(labels, predictions).mean())


def trivial_prediction(labels: NDArray[np.float64], clips: int) -> NDArray[np.float64]:
    """Return the mean training label for every clip, (clips, words): the baseline without audio."""
    mean = labels.mean(axis=0)
    return np.tile(mean / mean.sum(), (clips, 1))


@dataclass(frozen=True)
class Score:
    """The metrics of one set of predictions against their labels."""

    kl: float
    """Mean KL divergence, nats."""
    low: float
    """Lower end of its 95 % interval, a bootstrap over clips or whole groups of clips."""
    high: float
    """Upper end of the interval."""
    cross_entropy: float
    """Mean cross-entropy, nats: `kl` plus `entropy`."""
    entropy: float
    """Mean entropy of the labels, nats: the irreducible part of the cross-entropy."""
    trivial_kl: float | None
    """KL of predicting the mean label; None if the mean label is unknown."""
    calibration_error: float
    """Expected calibration error; see `overlap.metrics.calibration`."""
    per_word: dict[str, float]
    """Contribution of each word to `kl`; the contributions sum to it."""
    clips: int
    """Clips scored."""
    groups: int | None = None
    """Groups among the clips; None without groups."""

    @property
    def resampled(self) -> str:
        """What the interval resamples."""
        return describe_units(self.groups)

    @property
    def gain(self) -> float | None:
        """The fraction by which `kl` is below `trivial_kl`; None if that is unknown."""
        return gain_over(self.trivial_kl, self.kl)


def gain_over(trivial_kl: float | None, kl: float | None) -> float | None:
    """Return the fraction by which a KL is below the trivial one.

    The result is None if either is unknown, or the trivial one is 0.

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
    groups: NDArray[np.int64] | None = None,
) -> Score:
    """Score predictions.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
        words: Names of the columns.
        mean_label: (words,) mean label of the training clips, for the trivial prediction.
        groups: (clips,) index of each clip's group, which the interval resamples as a whole if
            there are at least `MIN_GROUPS`; None: every clip is its own group.
    """
    cells = kl_per_cell(labels, predictions)
    clips = cells.sum(axis=1)
    mean = float(clips.mean())
    units = np.arange(len(clips)) if groups is None else groups
    low, high = interval(resampled_means(clips[None], units)[:, 0])
    entropy = max(0.0, -kl(labels, np.ones_like(labels)))
    trivial = None
    if mean_label is not None:
        trivial = kl(labels, trivial_prediction(mean_label[None], len(labels)))
    return Score(
        kl=mean,
        low=low,
        high=high,
        cross_entropy=mean + entropy,
        entropy=entropy,
        trivial_kl=trivial,
        calibration_error=calibration_error(labels, predictions),
        per_word=dict(zip(words, cells.mean(axis=0).tolist(), strict=True)),
        clips=len(labels),
        groups=None if groups is None else len(np.unique(groups)),
    )
