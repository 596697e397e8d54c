"""Intervals of means over clips, by the bootstrap."""

import numpy as np
from numpy.typing import NDArray

DRAWS = 500
"""Resamples; the ends of a 95 % interval then lie on about the twelfth from either side."""
SEED = 20040
"""Of every draw here: the same predictions give the same intervals."""
FEWEST_GROUPS = 10
"""With fewer groups, clips are drawn one by one: the spread over a few groups says little."""


def units(groups: NDArray[np.int64], fewest: int) -> NDArray[np.int64]:
    """What stays together: the groups, or single clips where there are too few groups.

    Args:
        groups: (clips,) the group of each clip.
        fewest: Groups that are enough.

    Returns:
        (clips,) index of each clip's unit, from 0 without gaps.
    """
    names, index = np.unique(groups, return_inverse=True)
    return index if len(names) >= fewest else np.arange(len(groups))


def resampled_means(
    values: NDArray[np.float64], groups: NDArray[np.int64], draws: int = DRAWS
) -> NDArray[np.float64]:
    """Means over clips that are drawn again with replacement, whole groups together.

    Args:
        values: (rows, clips); all rows see the same draws, so their differences are paired.
        groups: (clips,) the group of each clip; see `FEWEST_GROUPS`.
        draws: Number of resamples.

    Returns:
        (draws, rows) float64.
    """
    index = units(groups, FEWEST_GROUPS)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.stack([np.bincount(index, row) for row in values])
    rng = np.random.default_rng(SEED)
    means = np.empty((draws, len(values)))
    for draw in range(draws):
        picked = rng.integers(len(sizes), size=len(sizes))
        counts = np.bincount(picked, minlength=len(sizes)).astype(np.float64)
        means[draw] = sums @ counts / (sizes @ counts)
    return means


def interval(draws: NDArray[np.float64], confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the interval of (draws,) resampled values."""
    outside = (1 - confidence) / 2
    low, high = np.quantile(draws, (outside, 1 - outside))
    return float(low), float(high)
