"""The batched backend is compared with the reference, and the reference with the definition."""

import numpy as np
import pytest
import scipy.signal

from overlap.config import FeatureConfig, Resolution
from overlap.features.batched import batched_features
from overlap.features.reference import reference_features
from support.feature_accuracy import error_db

DEFAULT = FeatureConfig()


def errors(clips: np.ndarray, config: FeatureConfig, dtype: type) -> float:
    return error_db(batched_features, clips, config, dtype)


@pytest.mark.extended
def test_spoken_words_match_the_reference(spoken: np.ndarray) -> None:
    assert errors(spoken, DEFAULT, np.float16) < 0.05
    assert errors(spoken, DEFAULT, np.float32) < 0.005


def test_noise_tones_and_clicks_match_the_reference() -> None:
    random = np.random.default_rng(0)
    clips = np.stack(
        [
            random.normal(size=16000) * 0.1,
            0.9 * np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000),
            np.eye(1, 16000, 8000)[0],
            np.eye(1, 16000, 0)[0],
            scipy.signal.chirp(np.arange(16000) / 16000, 20, 1, 7900),
        ]
    ).astype(np.float32)
    for clip in clips:
        assert errors(clip[None], DEFAULT, np.float16) < 0.05


@pytest.mark.parametrize(
    "config",
    [
        FeatureConfig(resolutions=(Resolution(n_fft=512, win_length=512),)),
        FeatureConfig(resolutions=(Resolution(n_fft=400, win_length=399),)),
        FeatureConfig(
            hop_length=100, n_mels=40, resolutions=(Resolution(n_fft=256, win_length=101),)
        ),
        FeatureConfig(hop_length=333, fmin_hz=50, fmax_hz=4000),
        FeatureConfig(sample_rate=8000, clip_seconds=0.5, n_mels=32),
        FeatureConfig(sample_rate=22050, clip_seconds=0.7),
        FeatureConfig(clip_seconds=0.02, resolutions=(Resolution(n_fft=256, win_length=200),)),
    ],
)
def test_other_configurations_match_the_reference(
    config: FeatureConfig, spoken: np.ndarray
) -> None:
    clips = np.resize(spoken, (5, config.clip_samples))
    assert errors(clips, config, np.float32) < 0.01


def test_the_reference_matches_the_definition() -> None:
    """One frame is computed step by step: window, transform, power, mel bands, decibels."""
    clip = np.random.default_rng(1).normal(size=16000).astype(np.float32) * 0.1
    config = FeatureConfig(resolutions=(Resolution(n_fft=512, win_length=400),))
    frame = 30
    start = frame * 160 - 256
    window = np.zeros(512)
    window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
    power = np.abs(np.fft.rfft(clip[start : start + 512] * window)) ** 2
    import librosa

    mel = librosa.filters.mel(sr=16000, n_fft=512, n_mels=64) @ power
    expected = 10 * np.log10(np.maximum(mel, 1e-10))
    assert np.abs(reference_features(clip[None], config)[0, :, frame, 0] - expected).max() < 1e-3


def test_silence_has_the_smallest_power() -> None:
    silent = np.zeros((2, 16000), np.float32)
    assert np.all(batched_features(silent, DEFAULT) == -100)


def test_results_do_not_depend_on_other_clips_of_the_batch(spoken: np.ndarray) -> None:
    batch = batched_features(spoken, DEFAULT)
    single = np.concatenate([batched_features(clip[None], DEFAULT) for clip in spoken])
    assert np.array_equal(batch.view(np.uint16), single.view(np.uint16))


@pytest.mark.parametrize(
    ("clips", "out", "fact"),
    [
        (np.zeros((2, 100), np.float32), None, r"\(2, 100\)"),
        (np.full((1, 16000), np.nan, np.float32), None, "not finite"),
        (np.full((1, 16000), np.inf, np.float32), None, "not finite"),
        (np.zeros((1, 16000), np.float32), np.zeros((2, 64, 101, 4), np.float16), r"\(2, 64, 101"),
    ],
)
def test_wrong_input_is_rejected(clips: np.ndarray, out: np.ndarray | None, fact: str) -> None:
    with pytest.raises(ValueError, match=fact):
        batched_features(clips, DEFAULT, out)
