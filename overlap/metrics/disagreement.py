"""How far the members of an ensemble are apart over a clip."""

from collections.abc import Collection

import numpy as np
from numpy.typing import NDArray
from scipy.special import kl_div

from overlap.metrics.divergence import SMALLEST

NAMES = ("spread", "spread_nats")
"""Names of the column of a table; the second where the first is a word."""


def spread_column(words: Collection[str]) -> str:
    """Name of the column of the spread beside these words."""
    return next(name for name in (*NAMES, "") if name not in words)


def spread(shares: NDArray[np.float64], pooled: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean over members of KL(member || pooled), nats.

    Where the pool is the plain mean this is the Jensen-Shannon divergence of the members (Lin,
    "Divergence measures based on the Shannon entropy", 1991): the entropy of the mean less the
    mean of the entropies. It is 0 where all members say the same, and ln(members) at most, where
    each is sure of something else. It tells disagreement, which more members or more training
    clips of that kind would lower, from a clip that every member finds ambiguous.

    Args:
        shares: (members, clips, words), each row a distribution.
        pooled: (clips, words), each row a distribution.

    Returns:
        (clips,) float64. The members' order changes no bit.
    """
    # kl_div adds q - p to p*log(p/q): nothing over distributions, and what keeps each term from
    # falling below zero where float32 rows do not sum to exactly 1.
    apart = kl_div(shares.astype(np.float64), np.maximum(pooled, SMALLEST)).sum(axis=2)
    found: NDArray[np.float64] = np.sort(apart, axis=0).mean(axis=0)
    return found
