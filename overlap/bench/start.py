"""Benchmark of fixed costs: what a command takes beyond its work.

A small data set of synthetic sound is made, and a run trains the members of the preset `demo` on it
once. The commands then alternate with `import tensorflow`, the unit of the ratios: all of them
spend their time in imports and in starting processes.
"""

import csv
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile

from overlap.bench.features import speech_like
from overlap.config import FeatureConfig
from overlap.errors import BenchError
from overlap.system.import_path import child_environment

IMPORT: Final = "import tensorflow"
WORDS: Final = ("a", "b", "c", "d", "e", "f")
TRAIN_CLIPS: Final = 64


@dataclass(frozen=True)
class StartRow:
    """Result of one command."""

    name: str
    seconds: float
    """Elapsed; median over rounds."""
    cpu_seconds: float
    """User and system time with all child processes; median over rounds."""
    ratio: float
    """Elapsed time relative to `import tensorflow` in the same round; median."""
    cpu_ratio: float
    """CPU time relative to `import tensorflow` in the same round; median."""


def bench_start(clips: int, members: int, rounds: int) -> list[StartRow]:
    """Measure a run with nothing to do, a prediction, and the same prediction again.

    Args:
        clips: Clips to predict.
        members: Members of the ensemble.
        rounds: Number of measured rounds.

    Raises:
        BenchError: A command failed.
    """
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place = Path(folder)
        _write_data(place / "data", clips)
        # Without variables of Prefect, so that every command starts its own server.
        variables = {n: v for n, v in os.environ.items() if not n.startswith("PREFECT_")}
        environment = child_environment(variables) | {"PREFECT_HOME": str(place / "prefect")}
        workspace = str(place / "workspace")
        options = ["--data", str(place / "data"), "--workspace", workspace, "--preset", "demo"]
        options += ["--members", str(members), "--set", "training.epochs=1"]
        # One epoch may not beat the trivial prediction, and the prediction needs a champion.
        options += ["--set", "promotion.better_than_trivial=ignored"]
        run = ["run", *options]
        predict = ["predict", str(place / "data" / "test"), "--workspace", workspace]
        predict += ["--out", str(place / "predictions.csv")]

        def overlap(arguments: list[str]) -> Callable[[], tuple[float, float]]:
            return lambda: _timed(["-m", "overlap", *arguments], environment, place)

        def first_prediction() -> tuple[float, float]:
            shutil.rmtree(place / "workspace" / "predictions", ignore_errors=True)
            return overlap(predict)()

        overlap(run)()
        commands: dict[str, Callable[[], tuple[float, float]]] = {
            IMPORT: lambda: _timed(["-c", IMPORT], environment, place),
            "overlap run, nothing to do": overlap(run),
            f"overlap predict, {clips} clips": first_prediction,
            f"overlap predict, {clips} clips again": overlap(predict),
        }
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                times[name].append(command())
    measured = {name: np.array(found) for name, found in times.items()}
    return [
        StartRow(
            name=name,
            seconds=float(np.median(found[:, 0])),
            cpu_seconds=float(np.median(found[:, 1])),
            ratio=float(np.median(found[:, 0] / measured[IMPORT][:, 0])),
            cpu_ratio=float(np.median(found[:, 1] / measured[IMPORT][:, 1])),
        )
        for name, found in measured.items()
    ]


def _timed(
    arguments: list[str], environment: Mapping[str, str], place: Path
) -> tuple[float, float]:
    """Run Python; return elapsed and CPU seconds, with those of its children."""
    with (place / "log").open("w+") as log:
        before, began = os.times(), time.perf_counter()
        done = subprocess.run(
            [sys.executable, *arguments], cwd=place, env=dict(environment),
            stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, check=False,
        )  # fmt: skip
        seconds, after = time.perf_counter() - began, os.times()
        if done.returncode:
            log.seek(0)
            raise BenchError(
                f"{' '.join(arguments[:3])} failed; its output ends with\n{log.read()[-2000:]}",
                exit_code=done.returncode,
            )
    user = after.children_user - before.children_user
    return seconds, user + after.children_system - before.children_system


def _write_data(data: Path, test_clips: int) -> None:
    """Write a data set of synthetic sound with random labels of two words a clip."""
    config, random = FeatureConfig(), np.random.default_rng(0)
    sound = speech_like(TRAIN_CLIPS + test_clips, config)
    names = {
        "train": [f"train_{n:05d}" for n in range(TRAIN_CLIPS)],
        "test": [f"test_{n:05d}" for n in range(test_clips)],
    }
    files = [f"{split}/{name}.wav" for split, listed in names.items() for name in listed]
    for split in names:
        (data / split).mkdir(parents=True)
    for clip, file in zip(sound, files, strict=True):
        soundfile.write(data / file, clip, config.sample_rate)
    labels = np.zeros((TRAIN_CLIPS, len(WORDS)))
    for row in labels:
        row[random.choice(len(WORDS), 2, replace=False)] = 0.5
    equal = np.full((test_clips, len(WORDS)), 1 / len(WORDS))
    for file, rows, values in (
        ("train_answer.csv", names["train"], labels),
        ("submission.csv", names["test"], equal),
    ):
        with (data / file).open("w", newline="") as table:
            writer = csv.writer(table)
            writer.writerow(["id", *WORDS])
            writer.writerows([name, *row] for name, row in zip(rows, values.tolist(), strict=True))
