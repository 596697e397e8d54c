"""Benchmark of training: speed, waiting time and memory of plain Keras `fit` and of presets.

Each variant trains the same network on the same clips with the same backend, in a separate process.
All processes are prepared first (built, compiled, one epoch trained). They then alternate, one
epoch each, so that a machine that slows down affects all variants equally.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overlap.config import RunConfig
from overlap.errors import BenchError
from overlap.system.resources.memory import peak_memory_mb
from overlap.system.worker_process import Child, child_reporter, start_child

PLAIN = "plain fit, float32 arrays"
WORDS_PER_CLIP = 4
"""Words per clip of the labels, as in the task."""


@dataclass(frozen=True)
class TrainingRow:
    """Result of one variant."""

    name: str
    clips_per_second: float
    """Median over rounds."""
    ratio: float
    """Speed relative to the plain fit; median over rounds."""
    host_wait_fraction: float
    """Fraction of the time spent waiting for the next batch: an upper bound of the device's idle
    time. Not measured for the plain fit: 0."""
    peak_bytes: int
    """Peak memory of the process plus that of the accelerator, if any."""


@dataclass(frozen=True)
class TrainingJob:
    """Input of all variants."""

    clips: int
    words: int
    width: float
    """Width of the network."""
    mode: str
    """Location of the features for the presets: device, memory or stream."""


def bench_training(job: TrainingJob, presets: tuple[str, ...], rounds: int) -> list[TrainingRow]:
    """Measure the plain fit and the presets, interleaved.

    Args:
        job: Clips and network.
        presets: Names of the measured presets.
        rounds: Number of measured epochs per variant.

    Raises:
        BenchError: A variant failed.
    """
    variants = (PLAIN, *presets)
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place, started = Path(folder), dict[str, Child]()
        try:
            for variant in variants:
                started[variant] = _start(variant, job, place)
                _read_message(
                    variant, started[variant], place
                )  # sequentially, because compiling uses all cores
            rounds_of: dict[str, list[Mapping[str, float]]] = {variant: [] for variant in variants}
            for _ in range(rounds):
                for variant in variants:
                    rounds_of[variant].append(_run_epoch(variant, started[variant], place))
        finally:
            for child in started.values():
                child.close()
    speeds = {
        variant: np.array([done["clips"] / done["seconds"] for done in rounds_of[variant]])
        for variant in variants
    }
    return [
        TrainingRow(
            name=variant,
            clips_per_second=float(np.median(speeds[variant])),
            ratio=float(np.median(speeds[variant] / speeds[PLAIN])),
            host_wait_fraction=float(
                np.median([done["waited"] / done["seconds"] for done in rounds_of[variant]])
            ),
            peak_bytes=int(max(done["peak_bytes"] for done in rounds_of[variant])),
        )
        for variant in variants
    ]


def _start(variant: str, job: TrainingJob, folder: Path) -> Child:
    # Output goes to a file: a pipe that is not read fills up and blocks the process.
    with _log(folder, variant).open("w") as log:
        arguments = [variant, json.dumps(asdict(job)), str(folder)]
        return start_child(__name__, arguments, os.environ, log)


def _log(folder: Path, variant: str) -> Path:
    return folder / f"{variant}.log"


def _run_epoch(variant: str, child: Child, folder: Path) -> Mapping[str, float]:
    child.process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
    child.process.stdin.flush()  # type: ignore[union-attr]
    return _read_message(variant, child, folder)


def _read_message(variant: str, child: Child, folder: Path) -> Mapping[str, float]:
    message = child.read_report()
    if message is None:
        log = _log(folder, variant).read_text()[-2000:]
        raise BenchError(
            f"{variant}: the process failed; its log ends with\n{log}", variant=variant
        )
    return message


def _work(variant: str, job: TrainingJob, folder: Path) -> None:
    """Run as a variant: prepare, then train one epoch per line from the parent."""
    config = RunConfig(data="-", preset="baseline" if variant == PLAIN else variant)
    baseline = RunConfig(data="-", preset="baseline").network
    network = baseline.model_copy(
        update={"width": job.width, "dropout": config.network.dropout, "head": config.network.head}
    )
    config = config.model_copy(update={"network": network})
    epoch = _plain(config, job) if variant == PLAIN else _member(config, job, folder / variant)
    with child_reporter(reads_input=True) as emit:
        next(epoch)
        emit({})
        for _ in sys.stdin:
            emit({**next(epoch), "peak_bytes": 1e6 * _peak_mb()})


def _peak_mb() -> float:
    from overlap.training.device import device_peak_mb

    return peak_memory_mb() + (device_peak_mb() or 0.0)


def _synthetic_data(config: RunConfig, job: TrainingJob) -> tuple[Any, Any]:
    """Generate decibels of up to 512 clips, and labels of all clips with equal probabilities."""
    random = np.random.default_rng(0)
    decibels = random.normal(-40, 15, (min(job.clips, 512), *config.features.shape))
    labels = np.zeros((job.clips, job.words))
    chosen = np.argsort(random.random(labels.shape), axis=1)[:, :WORDS_PER_CLIP]
    np.put_along_axis(labels, chosen, 1 / WORDS_PER_CLIP, axis=1)
    return decibels.astype(np.float16), labels


def _plain(config: RunConfig, job: TrainingJob) -> Iterator[Mapping[str, float]]:
    """Train with standardised float32 arrays and Keras `fit`."""
    import keras

    from overlap.features import Normalisation
    from overlap.training.network import build_network

    decibels, labels = _synthetic_data(config, job)
    standardised = (np.maximum(decibels.astype(np.float32), -80) + 40) / 15
    x = np.resize(standardised, (job.clips, *standardised.shape[1:]))
    y = labels.astype(np.float32)
    many = x.shape[-1]
    identity = Normalisation((-1e4,) * many, (0.0,) * many, (1.0,) * many)
    network = build_network(config.network, x.shape[1:], job.words, identity).model
    network.compile(
        optimizer=keras.optimizers.Nadam(config.training.learning_rate), loss="kl_divergence"
    )
    while True:
        started = time.perf_counter()
        network.fit(x, y, batch_size=config.training.batch_size, epochs=1, verbose=0)
        yield {"clips": len(x), "seconds": time.perf_counter() - started, "waited": 0.0}


def _member(config: RunConfig, job: TrainingJob, folder: Path) -> Iterator[Mapping[str, float]]:
    """Train like a member, from a feature store on disk."""
    from overlap.bench.scale import write_catalogue
    from overlap.catalog import Partition, stored_rows
    from overlap.features import FeatureStore
    from overlap.io.location import Location
    from overlap.training.device import make_deterministic, prepare_device
    from overlap.training.feed.memory_plan import MemoryPlan, window_chunks
    from overlap.training.feed.passes import PassPrefetcher
    from overlap.training.member import assemble
    from overlap.training.spec import MemberSpec

    training, shape = config.training, config.features.shape
    workspace = Location(str(folder))
    store = FeatureStore.create(workspace, config.features, config.store)
    rows, chunk = np.arange(job.clips), store.chunk_clips()
    write_catalogue(workspace, job.clips)
    with stored_rows(workspace) as catalogue:
        store.sync(catalogue)
    decibels, labels = _synthetic_data(config, job)
    for start in range(0, job.clips, chunk):
        store.write_rows(
            start, decibels[np.arange(start, min(start + chunk, job.clips)) % len(decibels)]
        )
    prepare_device()
    make_deterministic(0)
    many, window = shape[-1], chunk * window_chunks(training.shuffle_clips, chunk)
    spec = MemberSpec(
        seed=0, fold=0, features=config.features, network=config.network, training=training,
        validation=config.validation, floor_db=(-80.0,) * many, mean_db=(-40.0,) * many,
        std_db=(15.0,) * many, words=tuple(map(str, range(job.words))),
        subset=WORDS_PER_CLIP if config.network.head != "softmax" else None,
        chunk_clips=chunk, training_key="",
    )  # fmt: skip
    plan = MemoryPlan(job.mode, 0, window)  # type: ignore[arg-type]  # checked by the command
    data, learner = assemble(spec, 0, store, labels, Partition(rows, rows[:0]), plan)
    ahead = PassPrefetcher(data.epoch, range(10**9))
    while True:
        started, waited = time.perf_counter(), ahead.waited
        learner.one_epoch(ahead.one_pass(), data.steps)
        seconds = time.perf_counter() - started
        learner.refresh_batchnorm([])
        yield {"clips": data.clips, "seconds": seconds, "waited": ahead.waited - waited}


if __name__ == "__main__":
    _work(sys.argv[1], TrainingJob(**json.loads(sys.argv[2])), Path(sys.argv[3]))
