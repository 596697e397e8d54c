"""Checks of the arrays that every backend takes."""

import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.system.jit import compiled

NOT_FINITE = np.uint32(0x7F800000)
"""Bits of float32 infinity; without the sign bit, those of NaN are larger."""


@compiled
def largest_bits(bits: NDArray[np.uint32]) -> np.uint32:
    """Return the largest float32 code without its sign; codes are ordered like values."""
    largest = np.uint32(0)
    for code in bits:
        largest = max(largest, code & np.uint32(0x7FFFFFFF))
    return largest


def check_finite(clips: NDArray[np.float32]) -> None:
    """Check that all samples are finite.

    Args:
        clips: Any shape, C-contiguous.

    Raises:
        ValueError: A sample is NaN or infinite.
    """
    if largest_bits(clips.view(np.uint32).ravel()) >= NOT_FINITE:
        raise ValueError("clips contain samples that are not finite")


def check_shapes(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    out: NDArray[np.float16] | NDArray[np.float32],
) -> None:
    """Check that the arrays match each other and the configuration.

    Args:
        clips: (clips, samples) float32.
        config: The features.
        out: (clips, mel, frame, resolution).

    Raises:
        ValueError: The clips have the wrong length or dtype, or `out` has the wrong shape.
    """
    shape = (len(clips), *config.shape)
    if clips.shape != (len(clips), config.clip_samples):
        raise ValueError(f"clips have shape {clips.shape}, expected (n, {config.clip_samples})")
    if clips.dtype != np.float32:
        raise ValueError(f"clips have dtype {clips.dtype}, expected float32")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, expected {shape}")
