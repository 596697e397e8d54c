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
"""An odd window, a transform that is no power of two, and a hop that divides nothing."""


@pytest.fixture(scope="module")
def ways():
    return available()


def test_what_the_project_depends_on_is_measured(ways) -> None:
    assert {"numpy, scipy.fft", "tf.signal"} <= ways.keys()


@pytest.mark.parametrize("config", [FeatureConfig(), ODD], ids=["default", "odd"])
def test_every_library_gives_the_reference(ways, spoken: np.ndarray, config) -> None:
    clips = spoken[:11]  # no whole number of parts
    reference = reference_features(clips, config)
    heard = reference > reference.max(axis=(0, 1, 2)) - 80
    for name, compute in ways.items():
        found = compute(clips, config)
        assert found.shape == reference.shape, name
        assert np.abs(found - reference)[heard].max() < 0.05, name
        assert np.abs(compute(clips[:3], config) - found[:3])[heard[:3]].max() < 0.05, name


def test_silence_is_the_smallest_power(ways) -> None:
    config = FeatureConfig()
    silence = np.zeros((1, config.clip_samples), np.float32)
    for name, compute in ways.items():
        assert np.allclose(compute(silence, config), -100, atol=1e-3), name


def test_what_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("torch", "torchaudio", "librosax", "tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert [*available()] == ["numpy, scipy.fft"]
