"""What kind of labels a catalogue has."""

import numpy as np
from numpy.typing import NDArray

TOLERANCE = 1e-3
"""How far a share may be from 1/k: tables are written with few digits."""


def equal_shares(labels: NDArray[np.float64]) -> int | None:
    """The number k of words per clip, where every label is k equal shares; None elsewhere.

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
