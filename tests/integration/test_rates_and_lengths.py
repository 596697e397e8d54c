"""A run and predictions on clips of other rates, channels and lengths, with planned features."""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import yaml
import zarr

from overlap.config import FeatureConfig
from overlap.config.parsing import parsed
from overlap.features.reference import reference_features

pytestmark = pytest.mark.nightly

OTHER_RATE = 16000
"""Rate of the data set that is converted."""


def converted(data: Path, out: Path, rate: int, channels: int, seconds: float) -> Path:
    """Write a data set whose clips have another rate, number of channels and length."""
    for split in ("train", "test"):
        (out / split).mkdir(parents=True)
        for file in sorted((data / split).iterdir()):
            sound = soxr.resample(soundfile.read(file)[0], OTHER_RATE, rate)
            sound = np.resize(sound, round(rate * seconds))
            columns = np.stack([sound, *[0.5 * sound] * (channels - 1)], axis=1)
            soundfile.write(out / split / file.name, columns, rate)
    for table in data.glob("*.csv"):
        shutil.copy(table, out)
    return out


@pytest.mark.parametrize(
    ("rate", "channels", "seconds"),
    [(8000, 2, 0.3), (22050, 1, 1.0), (44100, 2, 3.0), (48000, 1, 10.0)],
)
def test_a_run_over_other_clips(
    overlap, data: Path, tiny: Path, tmp_path: Path, rate: int, channels: int, seconds: float
) -> None:
    clips = converted(data, tmp_path / "data", rate, channels, seconds)
    planned = parsed(overlap("config", "features", "--data", clips).stdout, ".toml")
    config = FeatureConfig.model_validate(planned["features"])
    assert (config.sample_rate, config.clip_seconds) == (rate, seconds)
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(tiny.read_text()) | planned))

    workspace = tmp_path / "workspace"
    done = overlap("run", "--data", clips, "--workspace", workspace, "--config", file)
    assert "resampled" not in done.stdout + done.stderr
    store = zarr.open_group(workspace / "features.zarr", mode="r")
    name = "train_000004"
    (row,) = np.flatnonzero(np.asarray(store["clip_id"]) == name)
    sound = soundfile.read(clips / "train" / f"{name}.wav", dtype="float32", always_2d=True)[0]
    mono = sound.mean(axis=1, dtype=np.float32)
    expected = reference_features(mono[None], config)[0]
    audible = expected > expected.max() - 80
    found = np.asarray(store["mel"][row], np.float32)
    np.testing.assert_allclose(found[audible], expected[audible], atol=0.05)

    out = tmp_path / "preds.csv"
    (published,) = workspace.glob("ensembles/*/submission.csv")
    overlap("predict", clips / "test", "--workspace", workspace, "--out", out,
            "--model", published.parent.name)  # fmt: skip
    submitted = pd.read_csv(published, index_col="id").sort_index()
    predicted = pd.read_csv(out, index_col="id").sort_index()[submitted.columns]
    pd.testing.assert_frame_equal(predicted, submitted, atol=1e-5)
