"""The features of other libraries in the benchmark are compared with the reference."""

import sys

import numpy as np
import pytest

from overlap.bench.libraries import available
from overlap.config import FeatureConfig, Resolution
from overlap.features.reference import reference_features

ODD = FeatureConfig(
    hop_length=137,
    n_mels=40,
    fmin_hz=50,
    fmax_hz=7000,
    resolutions=(Resolution(n_fft=512, win_length=401), Resolution(n_fft=400, win_length=400)),
)
"""An odd window, a transform length that is not a power of two, and a prime hop."""


@pytest.fixture(scope="module")
def implementations():
    return available()


def test_installed_libraries_are_measured(implementations) -> None:
    assert {"numpy, scipy.fft", "tf.signal"} <= implementations.keys()


@pytest.mark.extended
@pytest.mark.parametrize("config", [FeatureConfig(), ODD], ids=["default", "odd"])
def test_every_library_matches_the_reference(implementations, spoken: np.ndarray, config) -> None:
    clips = spoken[:11]  # not a multiple of the number of clips per call
    reference = reference_features(clips, config)
    audible = reference > reference.max(axis=(0, 1, 2)) - 80
    for name, compute in implementations.items():
        found = compute(clips, config)
        assert found.shape == reference.shape, name
        assert np.abs(found - reference)[audible].max() < 0.05, name
        assert np.abs(compute(clips[:3], config) - found[:3])[audible[:3]].max() < 0.05, name


@pytest.mark.extended
def test_silence_has_the_smallest_power(implementations) -> None:
    config = FeatureConfig()
    silence = np.zeros((1, config.clip_samples), np.float32)
    for name, compute in implementations.items():
        assert np.allclose(compute(silence, config), -100, atol=1e-3), name


def test_missing_libraries_are_omitted(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "torchaudio", "librosax", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert [*available()] == ["numpy, scipy.fft"]
