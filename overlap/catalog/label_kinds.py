"""Detects labels that are equal shares of a fixed number of words."""

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""Largest deviation of a share from 1/k; label tables are written with few digits."""


def equal_shares(labels: NDArray[np.float64]) -> int | None:
    """Return the number k of words per clip if every label consists of k equal shares, else None.

    Args:
        labels: (clips, words); each row a distribution.

    Examples:
        >>> equal_shares(np.array([[0.5, 0.5, 0], [0, 0.5, 0.5]]))
        2
        >>> equal_shares(np.array([[0.5, 0.5, 0], [0, 0, 1.0]])) is None
        True
    """
    positive = labels > TOLERANCE
    counts = np.unique(positive.sum(axis=1))
    if len(counts) != 1 or counts[0] < 1:
        return None
    k = int(counts[0])
    return k if np.abs(labels - positive / k).max() < TOLERANCE else None
