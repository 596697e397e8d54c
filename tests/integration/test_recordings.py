"""Recordings by the command line: equal to clips, stopped by signals, measured on real speech."""

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.io.location import Location
from support.processes import OVERLAP
from support.view_client import add_graphs

pytestmark = pytest.mark.extended


def long_recording(file: Path, rate: int, minutes: int) -> Path:
    """Write a recording of noise."""
    file.parent.mkdir()
    random = np.random.default_rng(0)
    with soundfile.SoundFile(file, "w", rate, 1, subtype="PCM_16") as sound:
        for _ in range(60 * minutes):
            sound.write(0.1 * random.standard_normal(rate).astype(np.float32))
    return file


def test_recordings_of_a_clip_have_the_predictions_of_clips(
    overlap, finished, data: Path, tmp_path: Path
) -> None:
    copy = shutil.copytree(finished.workspace, tmp_path / "workspace")
    arguments = ("predict", data / "test", "--workspace", copy)
    overlap(*arguments, "--out", tmp_path / "clips.csv")
    done = overlap(*arguments, "--recordings", "--out", tmp_path / "out", "--json")
    assert json.loads(done.stdout)["windows"] == 20
    clips = pd.read_csv(tmp_path / "clips.csv", index_col="id")
    recordings = pd.read_csv(tmp_path / "out" / "recordings.csv", index_col="id")
    found = recordings.loc[clips.index, clips.columns]
    pd.testing.assert_frame_equal(found, clips, atol=1e-6, rtol=0)
    assert (recordings["seconds"] == 1).all()


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.nightly)],
)
def test_a_stopped_prediction_leaves_no_results(
    environment, earlier, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    add_graphs(earlier.location)
    long_recording(tmp_path / "in" / "a.wav", 8000, 20)
    before = {one.name for one in tmp_path.iterdir()}
    command = ("predict", tmp_path / "in", "--recordings", "--workspace", earlier.workspace)
    with subprocess.Popen(
        [OVERLAP, *map(str, command), "--hop-seconds", "0.01", "--out", str(tmp_path / "out")],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        end = time.monotonic() + 120
        while not any(one.stat().st_size for one in tmp_path.glob(".out.*/windows.csv")):
            assert time.monotonic() < end
            time.sleep(0.05)
        os.kill(process.pid, sent)
        _, printed = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in printed
    assert {one.name for one in tmp_path.iterdir()} == before


@pytest.mark.nightly
def test_the_benchmark_finds_real_words(overlap, earlier, speech: Path) -> None:
    """The ensemble is small and has learned square waves: only the form of the result counts."""
    add_graphs(Location.of(earlier.workspace))
    done = overlap(
        "bench", "recordings", speech, "--workspace", earlier.workspace, "--minutes", "1,3",
        "--hops", "0.125", "--thresholds", "0.3", "--json",
    )  # fmt: skip
    rows = json.loads(done.stdout)
    assert [row["windows"] for row in rows["memory"]] == [479, 1439]
    assert rows["memory"][1]["peak_mb"] < 1.2 * rows["memory"][0]["peak_mb"]
    assert [row["name"] for row in rows["detections"]] == [
        "windows every 0.125 s", "clips at known times",
    ]  # fmt: skip
    for row in rows["detections"]:
        assert row["found"] + row["missed"] <= rows["placed"]
