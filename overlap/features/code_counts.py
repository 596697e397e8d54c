"""Counts of the float16 codes of decibels, by split and resolution."""

import numpy as np
from numpy.typing import NDArray

from overlap.features.statistics import CODES
from overlap.system.jit import compiled


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
