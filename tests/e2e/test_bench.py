"""The benchmarks of the whole feature path and of training, with real worker processes."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec

import numpy as np
import pytest

from overlap.bench.end_to_end import bench_end_to_end
from overlap.bench.features import speech_like
from overlap.config import FeatureConfig, StoreConfig
from overlap.system.allocator import glibc_version
from overlap.system.resources.processors import usable_processors
from overlap.system.resources.sharing import trainings_on_processors
from support.file_systems import file_system_of
from support.processes import OVERLAP

pytestmark = pytest.mark.nightly


def test_the_bench_measures_the_path_from_files_to_the_store() -> None:
    config, store = FeatureConfig(), StoreConfig(chunk_clips=8, block_clips=16)
    sound = speech_like(5, config)
    one, two = bench_end_to_end(sound, config, store, files=64, rounds=1)
    assert (one.name, two.name) == ("1 worker", "2 workers")
    assert one.speedup == 1
    assert one.bytes_per_clip == pytest.approx(2 * np.prod(config.shape), rel=0.01)
    assert 0 < one.max_error_db < 0.04
    assert min(one.ratio, two.ratio, one.clips_per_second, two.clips_per_cpu_second) > 0


@pytest.mark.parametrize("mode", ["memory", "device"])
def test_the_training_bench_measures_every_variant(mode: str) -> None:
    command = [OVERLAP, "bench", "training", "--clips", "64", "--rounds", "1", "--width", "0.1"]
    done = subprocess.run(
        [*command, "--mode", mode, "--json"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    rows = {row["name"]: row for row in report["rows"]}
    plain, demo_plain = "plain fit, float32 arrays", "plain fit, demo network"
    members = trainings_on_processors(usable_processors())
    together = [f", {members} members at once"] if members > 1 else []
    assert {name: row["reference"] for name, row in rows.items()} == {
        plain: plain,
        "plain fit, environment of a member": plain,
        **{f"{name}{more}": plain for name in ("baseline", "fast") for more in ["", *together]},
        demo_plain: demo_plain,
        **{f"demo, demo network{more}": demo_plain for more in ["", *together]},
    }
    for row in rows.values():
        speed = rows[row["reference"]]["clips_per_second"]
        assert row["ratio"] == pytest.approx(row["clips_per_second"] / speed, rel=1e-6)
        assert row["faults_per_step"] >= 0
        assert 0 <= row["host_wait_fraction"] < 1
        assert row["peak_bytes"] > 1e8
    if glibc_version() is not None:
        faults = {name: row["faults_per_step"] for name, row in rows.items()}
        assert faults["demo, demo network"] < faults[demo_plain]
    unknown = subprocess.run(
        [*command, "--presets", "quick"], capture_output=True, text=True, check=False
    )
    assert unknown.returncode == 2
    assert "quick: unknown; choose from demo, baseline, fast, wide" in unknown.stderr


def test_the_streaming_bench_reads_the_store_from_the_disk() -> None:
    command = [OVERLAP, "bench", "streaming", "--clips", "512", "--rounds", "1", "--json"]
    done = subprocess.run(
        [*command, "--shuffle-clips", "128"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    held, streamed = report["rows"]
    assert (held["feed"], streamed["feed"]) == ("memory", "stream")
    assert (held["ratio"], held["read_bytes"]) == (1, 0)
    assert streamed["ratio"] > 0
    assert 0 <= streamed["waiting"] < 1
    assert report["allowed_bytes"] == report["features_bytes"] / 2
    if sys.platform == "linux" and file_system_of(tempfile.gettempdir()) != "tmpfs":
        assert streamed["read_bytes"] > 0.5 * report["features_bytes"], "came from the page cache"


def test_the_training_bench_measures_epochs_on_the_device_with_jax() -> None:
    command = [OVERLAP, "bench", "training", "--clips", "64", "--rounds", "1", "--width", "0.05"]
    done = subprocess.run(
        [*command, "--presets", "fast", "--mode", "device", "--json"],
        env=os.environ | {"KERAS_BACKEND": "jax"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["backend"] == "jax"
    rows = {row["name"]: row for row in report["rows"]}
    assert rows["fast"]["clips_per_second"] > 0
    assert rows["fast"]["host_wait_fraction"] == 0, "the device waits for no batch"


def test_the_prediction_bench_measures_both_ways() -> None:
    command = [OVERLAP, "bench", "predict", "--clips", "16", "--rounds", "1", "--words", "6"]
    done = subprocess.run(
        [*command, "--demo-members", "2", "--full-members", "1", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [(row["ensemble"], row["name"]) for row in rows] == [
        ("2 members of demo", "Keras"), ("2 members of demo", "inference graphs"),
        ("1 members of full", "Keras"), ("1 members of full", "inference graphs"),
    ]  # fmt: skip
    for row in rows:
        assert min(row["clips_per_second"], row["ratio"], row["start_seconds"]) > 0
        assert row["max_difference"] < 1e-4
    assert rows[0]["ratio"] == rows[2]["ratio"] == 1


def test_the_start_bench_measures_every_command() -> None:
    command = [OVERLAP, "bench", "start", "--clips", "8", "--members", "1", "--rounds", "1"]
    done = subprocess.run([*command, "--json"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)["rows"]
    assert [row["name"] for row in rows] == [
        "import tensorflow", "overlap run, nothing to do", "overlap predict, 8 clips",
        "overlap predict, 8 clips again",
    ]  # fmt: skip
    assert rows[0]["ratio"] == rows[0]["cpu_ratio"] == 1
    assert all(min(row["seconds"], row["cpu_seconds"]) > 0 for row in rows)


@pytest.mark.parametrize("client", ["hey", "locust"])
def test_the_request_bench_measures_every_server(client: str) -> None:
    if not (shutil.which(client) or find_spec(client)):
        pytest.skip(f"{client} is not installed")
    command = [
        OVERLAP,
        "bench",
        "requests",
        "--client",
        client,
        "--clients",
        "1,4",
        "--rounds",
        "1",
    ]
    done = subprocess.run(
        [*command, "--rounds", "1", "--seconds", "2", "--demo-members", "2", "--full-members", "0",
         "--compiled", "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["client"] == client
    rows = {(row["clients"], row["server"]): row for row in report["rows"]}
    servers = ("FastAPI", "FastAPI, compiled", "overlap view")
    assert set(rows) == {(clients, server) for clients in (1, 4) for server in servers}
    for row in rows.values():
        assert row["ensemble"] == "2 members of demo"
        assert row["errors"] == 0
        assert row["requests"] > 0
        assert min(row["requests_per_second"], row["ratio"]) > 0
        assert 0 < row["p50_ms"] <= row["p99_ms"]
        assert min(row["server_cpu_ms"], row["client_cpu_ms"]) > 0
    assert rows[1, "FastAPI"]["ratio"] == 1
