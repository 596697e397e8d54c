"""Metrics per word: detection rates, confusions and shares of the KL."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.divergence import kl_per_cell


@dataclass(frozen=True)
class WordMetrics:
    """Metrics of the predictions of one word."""

    word: str
    clips: int
    """Clips that contain the word."""
    kl: float
    """Contribution to the KL, nats; the contributions of all words sum to the KL."""
    recall: float
    """Fraction of its clips in which it is among the predicted words; NaN without such clips."""
    mean_present: float
    """Mean predicted probability in clips with the word; NaN without such clips."""
    mean_absent: float
    """Mean predicted probability in clips without the word; NaN without such clips."""


@dataclass(frozen=True, eq=False)
class Confusions:
    """Confusions between words.

    The predicted words of a clip are its k most probable words, where k is the number of words
    that it contains. A clip therefore has as many missed words as wrongly predicted ones.
    """

    substitutions: NDArray[np.float64]
    """(words, words): how often the column's word was predicted where the row's was missed. A miss
    is divided evenly among the wrong words of its clip, so that a row sums to its word's misses."""
    missed_together: NDArray[np.int64]
    """(words, words): clips in which both words were missed; symmetric, 0 on the diagonal."""

    def most_confused(self, count: int) -> list[tuple[int, int, float]]:
        """Return the most frequent (missed word, predicted word, count), in descending order."""
        return _largest(self.substitutions, count)

    def most_missed_together(self, count: int) -> list[tuple[int, int, float]]:
        """Return the pairs most often missed together (first, second, clips)."""
        return _largest(np.triu(self.missed_together).astype(np.float64), count)


def predicted_words(
    labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> NDArray[np.bool_]:
    """Select the k most probable words of each clip, where k is its number of words.

    Returns:
        (clips, words) bool.

    Examples:
        >>> predicted_words(np.array([[0.5, 0.5, 0.0]]), np.array([[0.2, 0.3, 0.5]])).tolist()
        [[False, True, True]]
    """
    order = np.argsort(-predictions, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
    chosen: NDArray[np.bool_] = rank < (labels > 0).sum(axis=1, keepdims=True)
    return chosen


def count_confusions(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> Confusions:
    """Count missed words and the words predicted in their place.

    Args:
        labels: (clips, words); a clip contains the words with a label above 0.
        predictions: (clips, words); each row is a distribution.
    """
    present, predicted = labels > 0, predicted_words(labels, predictions)
    missed = (present & ~predicted).astype(np.float64)
    wrong = (predicted & ~present).astype(np.float64)
    substitutions = missed.T @ (wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1))
    missed_together = (missed.T @ missed).astype(np.int64)
    np.fill_diagonal(missed_together, 0)
    return Confusions(substitutions, missed_together)


def per_word_metrics(
    words: tuple[str, ...], labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> list[WordMetrics]:
    """Compute the metrics of each word, in descending order of its contribution to the KL."""
    present, predicted = labels > 0, predicted_words(labels, predictions)
    parts = kl_per_cell(labels, predictions).mean(axis=0)
    metrics = [
        WordMetrics(
            word=word,
            clips=int(present[:, n].sum()),
            kl=float(parts[n]),
            recall=_mean(predicted[present[:, n], n]),
            mean_present=_mean(predictions[present[:, n], n]),
            mean_absent=_mean(predictions[~present[:, n], n]),
        )
        for n, word in enumerate(words)
    ]
    return sorted(metrics, key=lambda one: -one.kl)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _largest(matrix: NDArray[np.float64], count: int) -> list[tuple[int, int, float]]:
    order = np.argsort(-matrix, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(order, matrix.shape)
    found = zip(rows.tolist(), columns.tolist(), matrix.ravel()[order].tolist(), strict=True)
    return [one for one in found if one[2] > 0]
