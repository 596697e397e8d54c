"""The kernel agrees with librosa for every supported configuration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overlap.config import FeatureConfig, Resolution
from overlap.features.code_counts import count_codes
from overlap.features.compute import compute_features, select_backend
from overlap.features.statistics import CODES
from support.feature_accuracy import (
    FLOAT16_DB,
    FLOAT32_AMPLITUDE,
    FLOAT32_DB,
    error_db,
    tonal_error_db,
)


@st.composite
def configurations(draw: st.DrawFn) -> FeatureConfig:
    """Generate configurations that the kernel supports."""
    rate = draw(st.sampled_from([8000, 11025, 16000, 22050, 48000]))
    resolutions = []
    for _ in range(draw(st.integers(1, 2))):
        n_fft = 2 ** draw(st.integers(7, 12))
        resolutions.append(Resolution(n_fft=n_fft, win_length=draw(st.integers(n_fft // 8, n_fft))))
    fmax = draw(st.one_of(st.none(), st.floats(rate / 8, rate / 2)))
    return FeatureConfig(
        sample_rate=rate,
        clip_seconds=draw(st.floats(0.01, 0.3)),
        hop_length=draw(st.integers(50, 1000)),
        n_mels=draw(st.integers(1, 130)),
        fmin_hz=draw(st.floats(0, rate / 10)),
        fmax_hz=fmax,
        resolutions=tuple(resolutions),
    )


def sound(kind: str, config: FeatureConfig, seed: int) -> np.ndarray:
    """Return (3, samples) float32 with energy in the band of the configuration.

    A tone outside the band may be 100 dB louder than everything in the mel bands, and float32
    resolves only 1e-7 of the loudest value (see docs/decisions.md).
    """
    random, samples = np.random.default_rng(seed), config.clip_samples
    t, top = np.arange(samples), config.fmax_hz or config.sample_rate / 2
    turns = np.outer(random.uniform(config.fmin_hz, top, 3) / config.sample_rate, t)
    kinds = {
        "noise": random.normal(size=(3, samples)) * random.uniform(1e-4, 0.3),
        "tones": random.uniform(0.1, 1) * np.sin(2 * np.pi * turns),
        "square waves": np.where(turns % 1 < 0.5, 1.0, -1.0),
        "clicks": (random.random((3, samples)) < 0.001) * 1.0,
        "bursts": random.normal(size=(3, samples)) * (np.sin(2 * np.pi * 3 * t / samples) > 0.7),
    }
    return kinds[kind].astype(np.float32)


@pytest.mark.extended
@settings(max_examples=60)
@given(
    config=configurations(),
    kind=st.sampled_from(["noise", "tones", "square waves", "clicks", "bursts"]),
    seed=st.integers(0, 2**31),
)
def test_random_configurations_match_the_reference(
    config: FeatureConfig, kind: str, seed: int
) -> None:
    assert select_backend(config) == "kernel"
    clips = sound(kind, config, seed)
    if kind in ("tones", "square waves"):
        error = tonal_error_db(compute_features, clips, config, 2 * FLOAT32_AMPLITUDE)
    else:
        error = error_db(compute_features, clips, config)
    assert error < FLOAT32_DB
    assert error_db(compute_features, clips, config, np.float16) < FLOAT16_DB


@settings(max_examples=25)
@given(
    clips=st.integers(0, 9), resolutions=st.integers(1, 4), splits=st.integers(1, 3),
    seed=st.integers(0, 2**31),
)  # fmt: skip
def test_counts_equal_those_of_numpy(clips: int, resolutions: int, splits: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    codes = random.integers(0, CODES, (clips, 3, 5, resolutions), np.uint16)
    split_of = random.integers(-1, splits, clips)
    counts = count_codes(codes.view(np.float16), split_of, splits)
    for split in range(splits):
        for resolution in range(resolutions):
            expected = np.bincount(
                codes[split_of == split][..., resolution].ravel(), minlength=CODES
            )
            assert np.array_equal(counts[split, resolution], expected)
