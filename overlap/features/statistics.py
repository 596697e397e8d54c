"""Exact statistics of stored decibels, from the counts of their float16 codes.

A float16 has 65,536 codes. The counts of the codes are a complete summary of a set of values, and
the counts of two sets can be added. Peak, clipped mean and standard deviation for any floor follow
from the counts without a second pass over the store.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

CODES = 1 << 16

_VALUES = np.arange(CODES, dtype=np.uint16).view(np.float16).astype(np.float64)
"""Value of each code; the codes of infinities and NaN never occur in a store."""


@dataclass(frozen=True)
class Normalisation:
    """Constants, per resolution, that turn stored decibels into the input of a network.

    The features are `power_to_db(ref=max)` over all clips with a floor `top_db` below the peak,
    followed by a z-score. The reference cancels in the z-score, which leaves
    x -> (max(x, floor_db) - mean_db) / std_db.
    """

    floor_db: tuple[float, ...]
    """Smallest retained value, dB relative to 1.0: the peak minus `top_db`."""
    mean_db: tuple[float, ...]
    """Mean of the values clipped to the floor, dB relative to 1.0."""
    std_db: tuple[float, ...]
    """Standard deviation of the values clipped to the floor, dB."""


def normalisation(counts: NDArray[np.integer[Any]], top_db: float) -> Normalisation:
    """Compute floor, mean and standard deviation of the counted values.

    Args:
        counts: (resolutions, 65536) integers.
        top_db: Values are clipped this far below the peak of their resolution.

    Raises:
        ValueError: Nothing was counted, or all values of a resolution are equal.
    """
    floors, means, stds = [], [], []
    for count in counts:
        codes = np.flatnonzero(count)
        if not len(codes):
            raise ValueError("no values were counted")
        values, weight = _VALUES[codes], count[codes].astype(np.float64)
        floor = values.max() - top_db
        clipped = np.maximum(values, floor)
        mean = np.average(clipped, weights=weight)
        std = np.sqrt(np.average((clipped - mean) ** 2, weights=weight))
        if std == 0:
            raise ValueError(f"every value is {mean:g} dB: the clips contain no signal")
        floors.append(float(floor))
        means.append(float(mean))
        stds.append(float(std))
    return Normalisation(tuple(floors), tuple(means), tuple(stds))
