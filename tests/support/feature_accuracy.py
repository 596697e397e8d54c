"""Errors of features against the reference."""

import warnings
from collections.abc import Callable

import numpy as np

from overlap.config import FeatureConfig
from overlap.features.reference import reference_features

FLOAT32_DB, FLOAT16_DB = 2e-3, 0.04
"""Largest errors within 80 dB of the peak. Between 64 and 128, float16 values are 0.0625 apart, so
rounding alone causes errors of up to 0.031 dB."""
FLOAT32_AMPLITUDE = 1e-7
"""Error of a float32 transform in single bins, relative to the loudest bin. The last steps compute
some bins as differences of numbers as large as the loudest one. 80 dB below a pure tone the error
is 0.009 dB; scipy's float32 transform has the same error. One of 1,700 random configurations
reached 1.1e-7, so tests that draw new configurations allow twice as much."""

Compute = Callable[[np.ndarray, FeatureConfig, np.ndarray], object]


def errors(
    compute: Compute, clips: np.ndarray, config: FeatureConfig, dtype: type = np.float32
) -> tuple[np.ndarray, np.ndarray]:
    """Return absolute errors within 80 dB of the peak, and the depth below the peak, dB.

    The peak is that of each clip and resolution.
    """
    with warnings.catch_warnings():
        # The tests include short clips and mel filters that fall between two bins.
        warnings.filterwarnings("ignore", "n_fft=.* is too large", UserWarning)
        warnings.filterwarnings("ignore", "Empty filters detected", UserWarning)
        reference = reference_features(clips, config)
        out = np.full(reference.shape, np.nan, dtype)
        compute(clips, config, out)
    assert np.isfinite(out).all()
    depth = reference.max(axis=(1, 2), keepdims=True) - reference
    audible = depth <= 80
    return np.abs(out.astype(np.float64) - reference)[audible], depth[audible]


def error_db(
    compute: Compute, clips: np.ndarray, config: FeatureConfig, dtype: type = np.float32
) -> float:
    """Return the largest error, dB."""
    return float(errors(compute, clips, config, dtype)[0].max())


def tonal_error_db(
    compute: Compute,
    clips: np.ndarray,
    config: FeatureConfig,
    amplitude: float = FLOAT32_AMPLITUDE,
) -> float:
    """Return the largest float32 error beyond what `amplitude` explains, dB."""
    error, depth = errors(compute, clips, config)
    explained = 20 / np.log(10) * amplitude * 10 ** (depth / 20)
    return float((error - explained).max())
