"""Disagreement between the members of an ensemble about a clip."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy.special import kl_div

from overlap.metrics.divergence import SMALLEST

COLUMN_NAMES = ("spread", "spread_nats")
"""Names of the disagreement's column in a table; the second applies if the first is a word."""


def spread_column(words: Collection[str]) -> str:
    """Return the name of the disagreement's column in a table of these words."""
    return next(name for name in (*COLUMN_NAMES, "") if name not in words)


def disagreement(
    probabilities: NDArray[np.float64], pooled: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the mean over members of KL(member || pooled), nats.

    If the pool is the plain mean, this is the Jensen-Shannon divergence of the members (Lin,
    "Divergence measures based on the Shannon entropy", 1991): the entropy of the mean minus the
    mean of the entropies. It is 0 if all members predict the same, and at most ln(members), if
    each member is certain of a different word. It separates disagreement, which more members or
    more training clips of that kind would reduce, from clips that every member finds ambiguous.

    Args:
        probabilities: (members, clips, words), each row a distribution.
        pooled: (clips, words), each row a distribution.

    Returns:
        (clips,) float64, bit-identical for any order of the members.
    """
    # kl_div adds q - p to p*log(p/q). The addition sums to zero over distributions, and keeps each
    # term non-negative where float32 rows do not sum to exactly 1.
    divergence = kl_div(probabilities.astype(np.float64), np.maximum(pooled, SMALLEST)).sum(axis=2)
    mean: NDArray[np.float64] = np.sort(divergence, axis=0).mean(axis=0)
    return mean
