"""Clustered, paired bootstrap of means over clips.

Clips of one group (speakers that share clips) are resampled together, and all rows of values see
the same resamples, so that differences between rows are paired.
"""

import numpy as np
from numpy.typing import NDArray

DRAWS = 500
"""Resamples; about twelve of them lie beyond each end of a 95 % interval."""
SEED = 20040
"""Seed of every resampling: equal predictions give equal intervals."""
MIN_GROUPS = 10
"""With fewer groups, single clips are resampled: the variance of a few groups is unreliable."""


def resampling_units(groups: NDArray[np.int64], min_groups: int) -> NDArray[np.int64]:
    """Return the resampling unit of each clip: its group, or itself if there are too few groups.

    Args:
        groups: (clips,) the group of each clip.
        min_groups: The number of groups from which groups are the units.

    Returns:
        (clips,) int64: index of each clip's unit, contiguous from 0.
    """
    names, index = np.unique(groups, return_inverse=True)
    return index if len(names) >= min_groups else np.arange(len(groups))


def describe_units(groups: int | None) -> str:
    """Return what an interval resamples, given the number of groups or None without groups."""
    if groups is None:
        return "single clips"
    named = f"{groups} group{'s' if groups > 1 else ''}"
    return named if groups >= MIN_GROUPS else f"single clips of {named}"


def resampled_means(
    values: NDArray[np.float64], groups: NDArray[np.int64], draws: int = DRAWS
) -> NDArray[np.float64]:
    """Return the means over clips of bootstrap resamples.

    Args:
        values: (rows, clips); all rows see the same resamples, so their differences are paired.
        groups: (clips,) the group of each clip, resampled as a whole; see `MIN_GROUPS`.
        draws: Number of resamples.

    Returns:
        (draws, rows) float64.
    """
    index = resampling_units(groups, MIN_GROUPS)
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
    """Return both ends of the percentile interval of (draws,) resampled values."""
    outside = (1 - confidence) / 2
    low, high = np.quantile(draws, (outside, 1 - outside))
    return float(low), float(high)
