"""How far features are from the reference."""

import warnings
from collections.abc import Callable

import numpy as np

from overlap.config import FeatureConfig
from overlap.features.reference import reference_features

FLOAT32_DB, FLOAT16_DB = 2e-3, 0.04
"""Largest errors within 80 dB of the peak; between 64 and 128 dB float16 values are 0.0625 apart,
so rounding alone may err by 0.031."""
FLOAT32_AMPLITUDE = 1e-7
"""What any float32 transform may err by in single bins, as a part of the loudest bin: those that
the last steps pair with it are differences of numbers as large as it. 80 dB below a pure tone
that is 0.009 dB; scipy's float32 transform does the same. Of 1,700 random configurations one
needed 1.1e-7, so a test that draws new ones each time allows twice as much."""

Compute = Callable[[np.ndarray, FeatureConfig, np.ndarray], object]


def errors(
    compute: Compute, clips: np.ndarray, config: FeatureConfig, dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Differences within 80 dB of the peak of each clip and resolution, and how far below it."""
    with warnings.catch_warnings():
        # Short clips, and filters that fall between two bins, are part of the tests.
        warnings.filterwarnings("ignore", "n_fft=.* is too large", UserWarning)
        warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
        reference = reference_features(clips, config)
        out = np.full(reference.shape, np.nan, dtype)
        compute(clips, config, out)
    assert np.isfinite(out).all()
    depth = reference.max(axis=(1, 2), keepdims=True) - reference
    heard = depth <= 80
    return np.abs(out.astype(np.float64) - reference)[heard], depth[heard]


def error_db(
    compute: Compute, clips: np.ndarray, config: FeatureConfig, dtype: type = np.float32
) -> float:
    """The largest difference, dB."""
    return float(errors(compute, clips, config, dtype)[0].max())


def tonal_error_db(
    compute: Compute,
    clips: np.ndarray,
    config: FeatureConfig,
    amplitude: float = FLOAT32_AMPLITUDE,
) -> float:
    """The largest difference in float32 beyond what `amplitude` explains, dB."""
    error, depth = errors(compute, clips, config)
    explained = 20 / np.log(10) * amplitude * 10 ** (depth / 20)
    return float((error - explained).max())
