"""Exact statistics of stored decibels, from the counts of their float16 codes.

A float16 has 65,536 codes. The counts of the codes are a complete summary of a set of values, and
the counts of two sets can be added. Peak, clipped mean and standard deviation for any floor follow
from the counts without a second pass over the store.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import compiled

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


def count_codes(
    decibels: NDArray[np.float16],
    splits: NDArray[np.int64],
    n_splits: int,
    into: NDArray[np.uint32] | None = None,
) -> NDArray[np.uint32]:
    """Count the float16 codes of clips.

    Args:
        decibels: (clips, mel, frame, resolution) float16, C-contiguous.
        splits: (clips,) int64: index of each clip's split; clips with a negative index are
            skipped.
        n_splits: Number of splits.
        into: Counts to add to; None allocates new ones. A count overflows when a block contains
            the same value 2^32 times, which is silence in 664,000 clips.

    Returns:
        (splits, resolutions, 65536) uint32.

    Raises:
        ValueError: `into` has the wrong shape, or a split index is too large.
    """
    resolutions = decibels.shape[-1]
    if into is None:
        into = np.zeros((n_splits, resolutions, CODES), np.uint32)
    if into.shape != (n_splits, resolutions, CODES) or (splits >= n_splits).any():
        raise ValueError(
            f"counts of shape {into.shape} do not match {n_splits} splits and {resolutions} "
            "resolutions, or a split index is too large"
        )
    codes = np.ascontiguousarray(decibels).view(np.uint16)
    values = int(np.prod(codes.shape[1:-1]))
    _count(codes.reshape(len(codes), values, resolutions), splits, into)
    return into


@compiled
def _count(
    codes: NDArray[np.uint16], splits: NDArray[np.int64], counts: NDArray[np.uint32]
) -> None:
    """Add the codes of (clips, values, resolutions) to counts.

    Resolutions are processed one at a time because the counts of one fit the first-level cache.
    Indices are unsigned because numba checks signed ones for negative values.
    """
    for clip in range(codes.shape[0]):
        if splits[clip] >= 0:
            for resolution in range(codes.shape[2]):
                histogram = counts[splits[clip], resolution]
                for value in range(np.uint64(codes.shape[1])):
                    histogram[np.uint64(codes[clip, value, resolution])] += np.uint32(1)


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
