"""The reference implementation of the features: librosa, one clip at a time.

Every faster backend is measured and tested against it. For each resolution it computes
`librosa.feature.melspectrogram` (centred frames, zero padding, periodic Hann window, Slaney
mel filters with Slaney normalisation, power 2) and converts it to decibels relative to 1.0,
10*log10(max(S, 1e-10)), without clipping to a dynamic range.
"""

from functools import lru_cache
from types import ModuleType

import librosa
import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig, Resolution
from overlap.system.foreign_settings import variables

AMIN = 1e-10
"""Smallest power: lower values become -100 dB."""


@lru_cache(maxsize=1)
def librosa_core() -> ModuleType:
    """Return librosa with its filters and conversions, which it imports on first use.

    It would take filters from a cache that the user has set up, which others may have written.
    """
    from overlap.system.jit import cacheable

    with variables(LIBROSA_CACHE_DIR=None), cacheable():
        for name in ("cache", "filters", "fft_frequencies", "power_to_db"):
            getattr(librosa, name)
    return librosa


def mel_filters(config: FeatureConfig, resolution: Resolution) -> NDArray[np.float32]:
    """Return librosa's Slaney filters of one resolution, (mels, bins) float32."""
    filters: NDArray[np.float32] = librosa_core().filters.mel(
        sr=config.sample_rate,
        n_fft=resolution.n_fft,
        n_mels=config.n_mels,
        fmin=config.fmin_hz,
        fmax=config.fmax_hz,
    )
    return filters


def reference_features(clips: NDArray[np.float32], config: FeatureConfig) -> NDArray[np.float32]:
    """Compute the log-mel features of clips with librosa.

    Args:
        clips: (clips, samples) float32, full scale 1.0.
        config: Resolutions, hop and mel bands.

    Returns:
        (clips, mel, frame, resolution) float32, decibels relative to 1.0.
    """
    from overlap.system.jit import cacheable

    librosa_core()
    with cacheable():
        melspectrogram = librosa.feature.melspectrogram
    features = np.empty((len(clips), *config.shape), np.float32)
    for clip, out in zip(clips, features, strict=True):
        for index, resolution in enumerate(config.resolutions):
            power = melspectrogram(
                y=clip,
                sr=config.sample_rate,
                n_fft=resolution.n_fft,
                win_length=resolution.win_length,
                hop_length=config.hop_length,
                n_mels=config.n_mels,
                fmin=config.fmin_hz,
                fmax=config.fmax_hz,
            )
            out[:, :, index] = librosa.power_to_db(power, ref=1.0, amin=AMIN, top_db=None)
    return features
