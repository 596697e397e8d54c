"""What every way to compute features asks of its arrays."""

import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.features.compiled import compiled

NOT_FINITE = np.uint32(0x7F800000)
"""Bits of float32 infinity; those of NaN are larger, when the sign is left out."""


@compiled
def largest_bits(bits: NDArray[np.uint32]) -> np.uint32:
    """The largest of some float32 codes without their sign; they are ordered like the values."""
    largest = np.uint32(0)
    for code in bits:
        largest = max(largest, code & np.uint32(0x7FFFFFFF))
    return largest


def checked(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    out: NDArray[np.float16] | NDArray[np.float32] | None,
) -> NDArray[np.float16] | NDArray[np.float32]:
    """The array that features go to, if all is as it must be.

    Args:
        clips: (clips, samples) float32.
        config: The features.
        out: (clips, mel, frame, resolution), float16 or float32; a new float16 array if not
            given.

    Raises:
        ValueError: the clips have another length, are not finite, or `out` another shape.
    """
    shape = (len(clips), *config.shape)
    if clips.shape != (len(clips), config.clip_samples):
        raise ValueError(f"clips have shape {clips.shape}, not (clips, {config.clip_samples})")
    if clips.dtype != np.float32:
        raise ValueError(f"clips are {clips.dtype}, not float32")
    if largest_bits(np.ascontiguousarray(clips).view(np.uint32).ravel()) >= NOT_FINITE:
        raise ValueError("clips hold samples that are not finite")
    if out is None:
        return np.empty(shape, np.float16)
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, not {shape}")
    return out
