"""What every way to compute features asks of its arrays."""

import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.system.jit import compiled

NOT_FINITE = np.uint32(0x7F800000)
"""Bits of float32 infinity; those of NaN are larger, when the sign is left out."""


@compiled
def largest_bits(bits: NDArray[np.uint32]) -> np.uint32:
    """The largest of some float32 codes without their sign; they are ordered like the values."""
    largest = np.uint32(0)
    for code in bits:
        largest = max(largest, code & np.uint32(0x7FFFFFFF))
    return largest


def check_finite(clips: NDArray[np.float32]) -> None:
    """Refuse NaN and infinity.

    Args:
        clips: Any shape, C-contiguous.

    Raises:
        ValueError: a sample is not finite.
    """
    if largest_bits(clips.view(np.uint32).ravel()) >= NOT_FINITE:
        raise ValueError("clips hold samples that are not finite")


def check_shapes(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    out: NDArray[np.float16] | NDArray[np.float32],
) -> None:
    """Refuse arrays that do not fit each other and the configuration.

    Args:
        clips: (clips, samples) float32.
        config: The features.
        out: (clips, mel, frame, resolution).

    Raises:
        ValueError: the clips have another length or type, or `out` another shape.
    """
    shape = (len(clips), *config.shape)
    if clips.shape != (len(clips), config.clip_samples):
        raise ValueError(f"clips have shape {clips.shape}, not (clips, {config.clip_samples})")
    if clips.dtype != np.float32:
        raise ValueError(f"clips are {clips.dtype}, not float32")
    if out.shape != shape:
        raise ValueError(f"out has shape {out.shape}, not {shape}")
