"""Features planned for clips of any rate, number of channels and length."""

import tomllib
from pathlib import Path

import numpy as np
import pytest
import soundfile

from overlap.audio.survey import Sound, Survey, survey
from overlap.config import FeatureConfig
from overlap.config.loading import configure
from overlap.features.compute import compute_features, unsupported_reason
from overlap.features.planning import plan_features, section_as_toml
from overlap.features.reference import reference_features
from overlap.io.location import Location

RATES = (8000, 22050, 44100, 48000)
LENGTHS = (0.3, 1.0, 10.0)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", LENGTHS)
def test_the_kernel_computes_planned_features_like_librosa(rate: int, seconds: float) -> None:
    planned = plan_features(rate, seconds)
    assert unsupported_reason(planned) is None
    assert (planned.sample_rate, planned.clip_seconds) == (rate, seconds)
    assert 64 <= planned.frames <= 256
    clips = np.random.default_rng(0).normal(0, 0.1, (1, planned.clip_samples)).astype(np.float32)
    out = np.empty((1, *planned.shape), np.float32)
    expected = reference_features(clips, planned)
    audible = expected > expected.max() - 80
    found = compute_features(clips, planned, out)
    np.testing.assert_allclose(found[audible], expected[audible], atol=2e-3)


@pytest.mark.parametrize("rate", [16000, *RATES, 96000, 500, 10**6])
@pytest.mark.parametrize("seconds", [0.1, 0.3, 1.0, 3.3, 60.0, 4000.0])
def test_every_plan_is_a_valid_configuration(rate: int, seconds: float, tmp_path: Path) -> None:
    planned = plan_features(rate, seconds)
    file = tmp_path / "features.toml"
    file.write_text(section_as_toml(planned, "a comment"))
    assert tomllib.loads(file.read_text())["features"].keys() == {
        "sample_rate", "clip_seconds", "hop_length", "resolutions",
    }  # fmt: skip
    assert configure({"data": "D"}, file).features == planned


def test_the_known_task_has_the_default_features() -> None:
    assert plan_features(16000, 1.0) == FeatureConfig()


def test_a_survey_of_files(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for number in range(20):
        rate, channels = (48000, 2) if number else (8000, 1)
        sound = random.normal(0, 0.1, (rate // 2, channels))
        soundfile.write(tmp_path / f"{number}.{'flac' if number % 2 else 'wav'}", sound, rate)
    (tmp_path / "broken.wav").write_bytes(b"RIFF")
    found = survey(Location.of(tmp_path), [file.name for file in tmp_path.iterdir()])
    assert (found.files, len(found.sounds), found.unreadable) == (21, 20, 1)
    assert (found.rate_hz, found.seconds) == (48000, 0.5)
    assert {sound.channels for sound in found.sounds} == {1, 2}
    assert "48000 Hz (19)" in str(found)


def test_a_long_file_does_not_make_all_clips_long() -> None:
    sounds = tuple(Sound(16000, 1, seconds) for seconds in [1.0] * 99 + [0.4] * 100 + [60.0])
    assert Survey(200, sounds, 0).seconds == 1.0
    assert Survey(1, sounds[-1:], 0).seconds == 60.0
