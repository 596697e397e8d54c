"""The parts of the benchmark that train members: several at once, and one with all that it does."""

import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from overlap.bench.accelerator import subject
from overlap.bench.accelerator.parts import Program
from overlap.bench.accelerator.subject import Variant
from overlap.catalog import Partition
from overlap.errors import BenchError
from overlap.io.location import Location
from overlap.system.child_process import child_reporter, start_child
from overlap.training.feed.batches import TrainingData
from overlap.training.feed.sources import Source
from overlap.training.fit import train

HELD_OUT = 0.1
MEMORY = "XLA_PYTHON_CLIENT_MEM_FRACTION"


def members(scale: float, variant: Variant) -> Iterator[dict[str, Any]]:
    """Measure one, two and four processes that train at once, and share the device."""
    for count in (1, 2, 4) if scale >= subject.SMALL else (1, 2):
        with tempfile.TemporaryDirectory() as folder:
            yield {"members": count, "clips_per_second": _at_once(count, scale, variant, folder)}


def _at_once(count: int, scale: float, variant: Variant, folder: str) -> float:
    environment = os.environ | {MEMORY: f"{0.9 / count:.3f}"}
    arguments = [variant.precision, str(variant.batch_size), str(scale)]
    children, logs = [], [Path(folder) / f"{n}.log" for n in range(count)]
    try:
        for log in logs:
            with log.open("w") as file:
                children.append(start_child(__name__, arguments, environment, file))
        for child, log in zip(children, logs, strict=True):
            if child.read_report() is None:
                raise BenchError(f"a member failed: {log.read_text()[-2000:]}")
        for child in children:
            child.process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
            child.process.stdin.flush()  # type: ignore[union-attr]
        reports = [child.read_report() or {} for child in children]
        return float(sum(report.get("speed", np.nan) for report in reports))
    finally:
        for child in children:
            child.close()


def _one_of_several(precision: str, batch_size: int, scale: float) -> None:
    """Compile, wait for the others, and train for some seconds."""
    with child_reporter(reads_input=True) as emit:
        count = max(64, int(8192 * scale))
        variant = Variant(precision, batch_size, fused=True, scale=scale)
        program = Program(variant, subject.resident(count), count)
        emit({})
        sys.stdin.readline()
        started, clips, length = time.perf_counter(), 0, 4.0 if scale >= subject.SMALL else 0.5
        while time.perf_counter() - started < length:
            program.run()
            clips += program.clips
        emit({"speed": clips / (time.perf_counter() - started)})


def member_epoch(scale: float, variant: Variant) -> dict[str, Any]:
    """Measure epochs of the real training over 100,000 clips, with scores and checkpoints."""
    count = max(80, int(100_000 * scale))
    data = subject.resident(count)
    held_out = int(count * HELD_OUT)
    rows, labels = np.arange(count), subject.labels(count)
    training = variant.training.model_copy(
        update={"epochs": 4, "batch_size": min(variant.batch_size, count // 4)}
    )
    clips = TrainingData(
        source=_NoSource(), labels=labels.astype(np.float64),
        partition=Partition(rows[held_out:], rows[:held_out]), chunk_clips=512,
        training=training, seed=0, resident=data,
    )  # fmt: skip
    learner = subject.learner(variant, steps=clips.steps)
    events: list[tuple[float, Mapping[str, Any]]] = []
    with tempfile.TemporaryDirectory() as folder:
        begun = time.perf_counter()
        progress = train(
            learner, clips, Location(folder), lambda e: events.append((time.perf_counter(), e))
        )
        ended = time.perf_counter()
    first = events[0][0]
    seconds = (ended - first) / (training.epochs - 1)
    return {
        "variant": variant.name,
        "clips": clips.clips,
        "held_out": held_out,
        "first_epoch_seconds": first - begun,
        "epoch_seconds": seconds,
        "clips_per_second": clips.clips / seconds,
        "host_wait_fraction": progress.waited / max(progress.seconds, 1e-9),
        "losses": [entry["loss"] for entry in progress.history],
        "hours_of_15_members_of_40_passes": 15 * 40 * seconds / 3600,
    }


class _NoSource(Source):
    """Stands for the store, which is not read when everything is resident."""

    def batches(self, rows: Any, size: int) -> Iterator[Any]:  # noqa: ANN401
        raise NotImplementedError


if __name__ == "__main__":
    _one_of_several(sys.argv[1], int(sys.argv[2]), float(sys.argv[3]))
