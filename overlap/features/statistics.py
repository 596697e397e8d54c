"""Exact statistics of stored decibels, from the counts of their float16 codes.

A float16 has 65,536 codes. How often each occurs is a complete summary of a set of values, and
the summaries of two sets add up. Peak, clipped mean and standard deviation for any floor follow
from it without a second pass over the store.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import compiled

CODES = 1 << 16

_VALUES = np.arange(CODES, dtype=np.uint16).view(np.float16).astype(np.float64)
"""Value of every code; codes of infinities and NaN never occur in a store."""


@dataclass(frozen=True)
class Normalisation:
    """What turns stored decibels into the network's input, per resolution.

    With the global peak as reference and `top_db` below it as floor (section 3 of the design:
    `power_to_db(ref=max)` over all clips, then a z-score), the reference drops out of the
    z-score: x -> (max(x, floor_db) - mean_db) / std_db.
    """

    floor_db: tuple[float, ...]
    """Smallest value kept, dB relative to 1.0: the peak less top_db."""
    mean_db: tuple[float, ...]
    """Mean of the values raised to the floor, dB relative to 1.0."""
    std_db: tuple[float, ...]
    """Standard deviation of the values raised to the floor, dB."""


def count_codes(
    decibels: NDArray[np.float16],
    splits: NDArray[np.int64],
    n_splits: int,
    into: NDArray[np.uint32] | None = None,
) -> NDArray[np.uint32]:
    """Count the codes of some clips.

    Args:
        decibels: (clips, mel, frame, resolution) float16, C-contiguous.
        splits: (clips,) int64: index of each clip's split; a negative one is left out.
        n_splits: Number of splits.
        into: Counts to add to; new ones if not given. One overflows when a block holds a value
            2^32 times: silence in 664,000 clips.

    Returns:
        (splits, resolutions, 65536) uint32.
    """
    resolutions = decibels.shape[-1]
    if into is None:
        into = np.zeros((n_splits, resolutions, CODES), np.uint32)
    if into.shape != (n_splits, resolutions, CODES) or (splits >= n_splits).any():
        raise ValueError(f"counts of shape {into.shape} do not fit splits below {n_splits}")
    codes = np.ascontiguousarray(decibels).view(np.uint16)
    values = int(np.prod(codes.shape[1:-1]))
    _count(codes.reshape(len(codes), values, resolutions), splits, into)
    return into


@compiled
def _count(
    codes: NDArray[np.uint16], splits: NDArray[np.int64], counts: NDArray[np.uint32]
) -> None:
    """Add the codes of (clips, values, resolutions) to counts.

    One resolution at a time, because its counts fit the first-level cache. Indexes are unsigned:
    numba would look whether a signed one is negative.
    """
    for clip in range(codes.shape[0]):
        if splits[clip] >= 0:
            for resolution in range(codes.shape[2]):
                mine = counts[splits[clip], resolution]
                for value in range(np.uint64(codes.shape[1])):
                    mine[np.uint64(codes[clip, value, resolution])] += np.uint32(1)


def normalisation(counts: NDArray[np.integer[Any]], top_db: float) -> Normalisation:
    """Floor, mean and standard deviation of the counted values.

    Args:
        counts: (resolutions, 65536), whole numbers.
        top_db: Values are clipped this far below the peak of their resolution.

    Raises:
        ValueError: nothing was counted, or all values of a resolution are equal.
    """
    floors, means, stds = [], [], []
    for count in counts:
        seen = np.flatnonzero(count)
        if not len(seen):
            raise ValueError("no values were counted")
        values, weight = _VALUES[seen], count[seen].astype(np.float64)
        floor = values.max() - top_db
        clipped = np.maximum(values, floor)
        mean = np.average(clipped, weights=weight)
        std = np.sqrt(np.average((clipped - mean) ** 2, weights=weight))
        if std == 0:
            raise ValueError(f"every value is {mean:g} dB: the clips hold no signal")
        floors.append(float(floor))
        means.append(float(mean))
        stds.append(float(std))
    return Normalisation(tuple(floors), tuple(means), tuple(stds))
