"""Converts scores to probabilities, as the heads of the networks do, in NumPy."""

import numpy as np
from numpy.typing import NDArray

LOG_ZERO = -1e9
"""Logarithm of a coefficient of 0, as in `overlap.training.subset`."""


def shares(scores: NDArray[np.float32], subset: int | None) -> NDArray[np.float64]:
    """Return (clips, words) float64 probabilities, which sum to 1, of (clips, words) scores.

    Args:
        scores: One score per word.
        subset: Words per clip of a head over sets (`overlap.training.subset`); None: softmax.

    Examples:
        >>> shares(np.zeros((1, 4), np.float32), None).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
        >>> shares(np.zeros((1, 4), np.float32), 2).tolist()
        [[0.25, 0.25, 0.25, 0.25]]
    """
    logits = scores.astype(np.float64)
    if subset is not None:
        logits = _log_inclusion(logits, subset)
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))


def _log_inclusion(scores: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return the logarithm of each word's probability to be in the set, up to a constant.

    A word is in the set with its score and k - 1 of the other words. The polynomials of the words
    before and after each word are products in that order.
    """
    before = _products(scores, k)
    after = _products(scores[:, ::-1], k)
    words = scores.shape[1]
    others = [
        np.logaddexp.reduce(
            [before[word][:, n] + after[words - 1 - word][:, k - 1 - n] for n in range(k)]
        )
        for word in range(words)
    ]
    return np.asarray(scores + np.stack(others, axis=1))


def _products(scores: NDArray[np.float64], k: int) -> list[NDArray[np.float64]]:
    """Return the logarithms of the coefficients, (clips, k), of the product of the words before."""
    current = np.full((len(scores), k), LOG_ZERO)
    current[:, 0] = 0
    found = [current]
    for score in scores.T[:-1]:
        raised = np.full_like(current, LOG_ZERO)
        raised[:, 1:] = current[:, :-1] + score[:, None]
        current = np.logaddexp(current, raised)
        found.append(current)
    return found
