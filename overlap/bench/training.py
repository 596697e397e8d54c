"""Training as the known solution does it, and as each preset does it: speed, waiting, memory.

Every way trains the same network on the same clips with the same backend, in a process of its
own. All processes are made ready first (built, compiled, one epoch done) and then take turns, an
epoch each, so that a machine that slows down slows all of them.
"""

import json
import subprocess
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
from overlap.system.memory import peak_memory_mb
from overlap.system.worker_process import child_reporter

PLAIN = "plain fit, float32 arrays"
SHARES = 4
"""Words per clip of the labels, as in the task."""


@dataclass(frozen=True)
class TrainingRow:
    """One way to train."""

    name: str
    clips_per_second: float
    """Median over rounds."""
    ratio: float
    """To the plain fit; median over rounds."""
    host_wait_fraction: float
    """Part of the time in which the next batch was waited for: an upper bound of what the device
    was idle for. The plain fit cannot tell: 0."""
    peak_bytes: int
    """Largest memory of the process, and of the accelerator where there is one."""


@dataclass(frozen=True)
class TrainingJob:
    """What every way is given."""

    clips: int
    words: int
    width: float
    """Of the network."""
    mode: str
    """Where the presets keep the features: device, memory or stream."""


def bench_training(job: TrainingJob, presets: tuple[str, ...], rounds: int) -> list[TrainingRow]:
    """Measure the plain fit and the presets in turns.

    Args:
        job: Clips and network.
        presets: Names of the presets whose training is measured.
        rounds: Epochs that are measured of each.

    Raises:
        BenchError: a way failed.
    """
    ways = (PLAIN, *presets)
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place, started = Path(folder), dict[str, subprocess.Popen[str]]()
        try:
            for way in ways:
                started[way] = _start(way, job, place)
                _said(way, started[way], place)  # one after the other: compiling takes all cores
            rounds_of: dict[str, list[Mapping[str, float]]] = {way: [] for way in ways}
            for _ in range(rounds):
                for way in ways:
                    rounds_of[way].append(_ask(way, started[way], place))
        finally:
            for process in started.values():
                process.kill()
                process.communicate()
    speeds = {
        way: np.array([done["clips"] / done["seconds"] for done in rounds_of[way]]) for way in ways
    }
    return [
        TrainingRow(
            name=way,
            clips_per_second=float(np.median(speeds[way])),
            ratio=float(np.median(speeds[way] / speeds[PLAIN])),
            host_wait_fraction=float(
                np.median([done["waited"] / done["seconds"] for done in rounds_of[way]])
            ),
            peak_bytes=int(max(done["peak_bytes"] for done in rounds_of[way])),
        )
        for way in ways
    ]


def _start(way: str, job: TrainingJob, folder: Path) -> subprocess.Popen[str]:
    # What it prints goes to a file: a pipe that nobody reads fills up, and the process waits.
    with _log(folder, way).open("w") as log:
        return subprocess.Popen(
            [sys.executable, "-m", __name__, way, json.dumps(asdict(job)), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )


def _log(folder: Path, way: str) -> Path:
    return folder / f"{way}.log"


def _ask(way: str, process: subprocess.Popen[str], folder: Path) -> Mapping[str, float]:
    process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
    process.stdin.flush()  # type: ignore[union-attr]
    return _said(way, process, folder)


def _said(way: str, process: subprocess.Popen[str], folder: Path) -> Mapping[str, float]:
    line = process.stdout.readline()  # type: ignore[union-attr]  # it is a pipe
    if not line:
        raise BenchError(f"{way}: failed\n{_log(folder, way).read_text()[-2000:]}")
    said: Mapping[str, float] = json.loads(line)
    return said


def _work(way: str, job: TrainingJob, folder: Path) -> None:
    """Be a way: make ready, then train an epoch whenever told to."""
    config = RunConfig(data="-", preset="baseline" if way == PLAIN else way)
    known = RunConfig(data="-", preset="baseline").network
    network = known.model_copy(
        update={"width": job.width, "dropout": config.network.dropout, "head": config.network.head}
    )
    config = config.model_copy(update={"network": network})
    epoch = _plain(config, job) if way == PLAIN else _ours(config, job, folder / way)
    with child_reporter() as emit:
        next(epoch)
        emit({})
        for _ in sys.stdin:
            emit({**next(epoch), "peak_bytes": 1e6 * _peak_mb()})


def _peak_mb() -> float:
    from overlap.training.device import device_peak_mb

    return peak_memory_mb() + (device_peak_mb() or 0.0)


def _made_up(config: RunConfig, job: TrainingJob) -> tuple[Any, Any]:
    """Some clips' decibels like those of speech, and all clips' labels: k equal shares each."""
    random = np.random.default_rng(0)
    decibels = random.normal(-40, 15, (min(job.clips, 512), *config.features.shape))
    labels = np.zeros((job.clips, job.words))
    chosen = np.argsort(random.random(labels.shape), axis=1)[:, :SHARES]
    np.put_along_axis(labels, chosen, 1 / SHARES, axis=1)
    return decibels.astype(np.float16), labels


def _plain(config: RunConfig, job: TrainingJob) -> Iterator[Mapping[str, float]]:
    """The known solution: standardised float32 arrays, Keras's own `fit`, batches of 16."""
    import keras

    from overlap.features import Normalisation
    from overlap.training.network import build_network

    decibels, labels = _made_up(config, job)
    some = (np.maximum(decibels.astype(np.float32), -80) + 40) / 15
    x = np.resize(some, (job.clips, *some.shape[1:]))
    y = labels.astype(np.float32)
    many = x.shape[-1]
    identity = Normalisation((-1e4,) * many, (0.0,) * many, (1.0,) * many)
    network = build_network(config.network, x.shape[1:], job.words, identity)
    network.compile(
        optimizer=keras.optimizers.Nadam(config.training.learning_rate), loss="kl_divergence"
    )
    while True:
        started = time.perf_counter()
        network.fit(x, y, batch_size=config.training.batch_size, epochs=1, verbose=0)
        yield {"clips": len(x), "seconds": time.perf_counter() - started, "waited": 0.0}


def _ours(config: RunConfig, job: TrainingJob, folder: Path) -> Iterator[Mapping[str, float]]:
    """The member's own path, from a feature store on disk."""
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
    decibels, labels = _made_up(config, job)
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
        subset=SHARES if config.network.head != "softmax" else None,
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
