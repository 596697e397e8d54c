"""The batched float32 path: the reference's arithmetic on many frames at once.

Two things make it faster than a loop of librosa calls: the transform runs in float32 (librosa
multiplies by a float64 window), and frames are worked on in groups whose buffers stay in the
cache. Error against the reference within 80 dB of the peak: about 1e-3 dB.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from overlap.config import FeatureConfig, Resolution
from overlap.features.inputs import check_finite, check_shapes
from overlap.features.reference import AMIN, mel_filters

GROUP_BYTES = 1 << 20
"""Bytes of windowed frames worked on at once: with its spectrum and power, about an L2 cache."""


@dataclass(frozen=True, eq=False)
class _Plan:
    """What one resolution needs and every clip shares."""

    window: NDArray[np.float32]
    """(win_length,) float32, periodic Hann."""
    filters: NDArray[np.float32]
    """(bins, mels) float32: power spectrum times this is the mel spectrum."""


@lru_cache(maxsize=64)
def _plan(config: FeatureConfig, resolution: Resolution) -> _Plan:
    import scipy.signal  # slow to import; only workers need it

    window = scipy.signal.get_window("hann", resolution.win_length, fftbins=True)
    filters = mel_filters(config, resolution)
    return _Plan(window.astype(np.float32), np.ascontiguousarray(filters.T, np.float32))


def batched_features(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    out: NDArray[np.float16] | NDArray[np.float32] | None = None,
) -> NDArray[np.float16] | NDArray[np.float32]:
    """Log-mel features of some clips.

    Args:
        clips: (clips, samples) float32, full scale 1.0; finite.
        config: Resolutions, hop and mel bands.
        out: (clips, mel, frame, resolution), float16 or float32; a new float16 array if not
            given.

    Returns:
        `out`, filled with decibels relative to 1.0.

    Raises:
        ValueError: the clips have another length, are not finite, or `out` another shape.
    """
    if out is None:
        out = np.empty((len(clips), *config.shape), np.float16)
    check_shapes(clips, config, out)
    check_finite(np.ascontiguousarray(clips))
    for index, resolution in enumerate(config.resolutions):
        _one_resolution(clips, config, resolution, out[..., index])
    return out


def _one_resolution(
    clips: NDArray[np.float32],
    config: FeatureConfig,
    resolution: Resolution,
    out: NDArray[np.float16] | NDArray[np.float32],
) -> None:
    """Fill (clips, mel, frame) of one resolution.

    A frame is centred on its sample, and its window in the transform. Zeros around a shorter
    window change only the phase of the spectrum, which the power forgets, so the window's own
    samples stand at the start of the transform and scipy appends the zeros.
    """
    plan = _plan(config, resolution)
    frames, width = config.frames, resolution.win_length
    group = max(1, GROUP_BYTES // (4 * resolution.n_fft * frames))
    before = resolution.n_fft // 2 - (resolution.n_fft - width) // 2
    after = max(0, (frames - 1) * config.hop + width - before - config.clip_samples)
    for start in range(0, len(clips), group):
        part = slice(start, start + group)
        padded = np.pad(clips[part], ((0, 0), (before, after)))
        framed = sliding_window_view(padded, width, axis=1)[:, :: config.hop][:, :frames]
        spectrum = scipy.fft.rfft(framed * plan.window, n=resolution.n_fft, axis=-1)
        power = spectrum.real**2
        power += spectrum.imag**2
        mel = power @ plan.filters
        np.maximum(mel, np.float32(AMIN), out=mel)
        np.log10(mel, out=mel)
        mel *= np.float32(10)
        out[part] = mel.transpose(0, 2, 1)
