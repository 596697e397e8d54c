"""Adds words to a clip and stores its samples as 16-bit codes, compiled.

Every operation is that of numpy on float64 samples, in the same order, so that the codes are the
same bit for bit on any processor.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import compiled

PEAK: Final = 0.99
"""Limit of a mixture's peak; a louder mixture is attenuated as a whole."""
FULL_SCALE: Final = 32767.0
_MAGNITUDE: Final = np.int64(2**63 - 1)
"""All bits of a float64 but the sign."""


@compiled
def add_word(
    samples: NDArray[np.float32], level: float, delay: int, mixed: NDArray[np.float64]
) -> None:
    """Add a word to a clip.

    Args:
        samples: (samples,) float32.
        level: Factor of the samples.
        delay: Samples by which the word is delayed; advanced if negative.
        mixed: (samples,) float64; the words so far, to which this one is added.
    """
    count = len(mixed) - abs(delay)
    source, target = samples[max(0, -delay) :], mixed[max(0, delay) :]
    for index in range(count):
        target[index] += np.float64(source[index]) * level


@compiled
def store_codes(mixed: NDArray[np.float64], codes: NDArray[np.int16]) -> None:
    """Limit the peak of a clip, and store its samples.

    Args:
        mixed: (samples,) float64, full scale 1.0.
        codes: (samples,) int16; receives the samples.
    """
    # As integers, magnitudes have the order of the numbers; a maximum of floats is not vectorised.
    bits = mixed.view(np.int64)
    largest = np.int64(0)
    for index in range(len(bits)):
        largest = max(largest, bits[index] & _MAGNITUDE)
    peak = np.array([largest]).view(np.float64)[0]
    scale = PEAK / peak if peak > PEAK else 1.0
    for index in range(len(mixed)):
        codes[index] = np.int16(np.rint(mixed[index] * scale * FULL_SCALE))
