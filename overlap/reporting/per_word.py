"""Which words are found, which are missed, and what is said instead of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.divergence import kl_per_cell


@dataclass(frozen=True)
class WordFacts:
    """How well one word is predicted."""

    word: str
    clips: int
    """Clips that hold it."""
    kl: float
    """Its part of the KL, nats; the parts of all words add up to it."""
    found: float
    """In what part of its clips it is among the likeliest words; NaN without such clips."""
    named: float
    """Mean predicted share where it is there; NaN without such clips."""
    imagined: float
    """Mean predicted share where it is not there; NaN where it always is."""


@dataclass(frozen=True, eq=False)
class Mistakes:
    """Which words are taken for which.

    The predicted words of a clip are as many of the likeliest as it really holds; so there are
    as many words missed as words said that are not there.
    """

    instead: NDArray[np.float64]
    """(words, words): how often the column's word was said where the row's was missed. A miss is
    shared out where a clip has several, so that a row sums to the misses of its word."""
    together: NDArray[np.int64]
    """(words, words): clips in which both words were missed; symmetric, 0 on the diagonal."""

    def often_instead(self, count: int) -> list[tuple[int, int, float]]:
        """The most frequent (missed, said, how often), most frequent first."""
        return _largest(self.instead, count)

    def often_together(self, count: int) -> list[tuple[int, int, float]]:
        """The pairs most often missed together (first, second, clips)."""
        return _largest(np.triu(self.together).astype(np.float64), count)


def likeliest(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(clips, words): the words with the highest predictions, as many as each clip holds.

    Examples:
        >>> likeliest(np.array([[0.5, 0.5, 0.0]]), np.array([[0.2, 0.3, 0.5]])).tolist()
        [[False, True, True]]
    """
    order = np.argsort(-predictions, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.arange(order.shape[1])[None], axis=1)
    chosen: NDArray[np.bool_] = rank < (labels > 0).sum(axis=1, keepdims=True)
    return chosen


def find_mistakes(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> Mistakes:
    """Count what is missed and what is said instead.

    Args:
        labels: (clips, words); a word is there where its share is above 0.
        predictions: (clips, words); each row a distribution.
    """
    there, said = labels > 0, likeliest(labels, predictions)
    missed = (there & ~said).astype(np.float64)
    wrong = (said & ~there).astype(np.float64)
    instead = missed.T @ (wrong / np.maximum(wrong.sum(axis=1, keepdims=True), 1))
    together = (missed.T @ missed).astype(np.int64)
    np.fill_diagonal(together, 0)
    return Mistakes(instead, together)


def per_word_metrics(
    words: tuple[str, ...], labels: NDArray[np.float64], predictions: NDArray[np.float64]
) -> list[WordFacts]:
    """How well each word is predicted, the costliest first."""
    there, said = labels > 0, likeliest(labels, predictions)
    parts = kl_per_cell(labels, predictions).mean(axis=0)
    found = [
        WordFacts(
            word=word,
            clips=int(there[:, n].sum()),
            kl=float(parts[n]),
            found=_mean(said[there[:, n], n]),
            named=_mean(predictions[there[:, n], n]),
            imagined=_mean(predictions[~there[:, n], n]),
        )
        for n, word in enumerate(words)
    ]
    return sorted(found, key=lambda one: -one.kl)


def _mean(values: NDArray[np.float64] | NDArray[np.bool_]) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _largest(matrix: NDArray[np.float64], count: int) -> list[tuple[int, int, float]]:
    order = np.argsort(-matrix, axis=None, kind="stable")[:count]
    rows, columns = np.unravel_index(order, matrix.shape)
    found = zip(rows.tolist(), columns.tolist(), matrix.ravel()[order].tolist(), strict=True)
    return [one for one in found if one[2] > 0]
