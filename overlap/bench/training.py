"""Benchmark of training: speed, page faults and memory of plain Keras `fit` and of presets.

Each variant trains on the same clips with the same backend, in a separate process. All processes
are prepared first (built, compiled, one epoch trained). They then alternate, one epoch each, so
that a machine that slows down affects all variants equally.

A plain fit runs as in a user's script: nothing configures its memory. Everything else has the
environment of a member's process. Members that train at once are one variant of several processes,
each with its share of the processors; their clips count together.
"""

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from overlap.bench.untrained_learner import WORDS_PER_CLIP, constants, random_labels
from overlap.config import RunConfig
from overlap.errors import BenchError
from overlap.system.allocator import without_memory_settings
from overlap.system.child_process import Child, child_reporter, start_child, worker_environment
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.memory import page_faults, peak_memory_mb
from overlap.system.resources.processors import usable_processors
from overlap.system.resources.sharing import sharing_environment, trainings_on_processors


@dataclass(frozen=True)
class Variant:
    """What a process of the benchmark trains, and how."""

    name: str
    preset: str
    """Preset of the training."""
    reference: str
    """Name of the variant that the speed is compared with."""
    plain: bool = False
    """Keras's `fit` on float32 arrays instead of the training of a member."""
    memory_settings: bool = True
    """Whether the process keeps the memory that it frees (see `overlap.system.allocator`)."""
    own_network: bool = False
    """The network of the preset instead of the five stages that the others share."""
    members: int = 1
    """Members that train at once."""


PLAIN = Variant(
    "plain fit, float32 arrays", "baseline", "plain fit, float32 arrays",
    plain=True, memory_settings=False,
)  # fmt: skip
PLAIN_WITH_SETTINGS = replace(
    PLAIN, name="plain fit with the memory settings", memory_settings=True
)
DEMO_PLAIN = replace(
    PLAIN, name="plain fit, demo network", preset="demo", reference="plain fit, demo network",
    own_network=True,
)  # fmt: skip
DEMO = Variant("demo, demo network", "demo", DEMO_PLAIN.name, own_network=True)


@dataclass(frozen=True)
class TrainingRow:
    """Result of one variant."""

    name: str
    reference: str
    """Name of the row that `ratio` is relative to: a plain fit of the same network."""
    clips_per_second: float
    """Of all members together; median over rounds."""
    ratio: float
    """Speed relative to the reference; median over rounds."""
    faults_per_step: float
    """Minor page faults of the process per training step; median over rounds."""
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
    """Measure plain fits, the presets and the network of the demo, interleaved.

    Args:
        job: Clips and network.
        presets: Names of the measured presets.
        rounds: Number of measured epochs per variant.

    Raises:
        BenchError: A variant failed.
    """
    variants = (
        PLAIN, PLAIN_WITH_SETTINGS,
        *(row for name in presets for row in _alone_and_at_once(Variant(name, name, PLAIN.name))),
        DEMO_PLAIN, *_alone_and_at_once(DEMO),
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place, started = Path(folder), dict[Variant, list[Child]]()
        try:
            for variant in variants:
                started[variant] = []
                for number in range(variant.members):
                    child = _start(variant, number, job, place)
                    started[variant].append(child)
                    # One after the other, because compiling uses all cores.
                    _read_message(variant, number, child, place)
            rounds_of: dict[str, list[Mapping[str, float]]] = {v.name: [] for v in variants}
            for _ in range(rounds):
                for variant in variants:
                    rounds_of[variant.name].append(_run_epoch(variant, started[variant], place))
        finally:
            for child in chain.from_iterable(started.values()):
                child.close()
    return [
        _row(variant, rounds_of[variant.name], rounds_of[variant.reference]) for variant in variants
    ]


def _alone_and_at_once(variant: Variant) -> Iterator[Variant]:
    """Yield a variant, and the same with as many members as train at once on the processors."""
    yield variant
    members = 1 if visible_accelerators() else trainings_on_processors(usable_processors())
    if members > 1:
        yield replace(variant, name=f"{variant.name}, {members} members at once", members=members)


def _row(
    variant: Variant,
    rounds: Sequence[Mapping[str, float]],
    reference: Sequence[Mapping[str, float]],
) -> TrainingRow:
    speeds, others = (
        np.array([done["clips"] / done["seconds"] for done in epochs])
        for epochs in (rounds, reference)
    )
    return TrainingRow(
        name=variant.name,
        reference=variant.reference,
        clips_per_second=float(np.median(speeds)),
        ratio=float(np.median(speeds / others)),
        faults_per_step=float(np.median([done["faults"] / done["steps"] for done in rounds])),
        host_wait_fraction=float(np.median([done["waited"] / done["seconds"] for done in rounds])),
        peak_bytes=int(max(done["peak_bytes"] for done in rounds)),
    )


def _start(variant: Variant, number: int, job: TrainingJob, folder: Path) -> Child:
    environment = worker_environment(os.environ) | sharing_environment(variant.members)
    if not variant.memory_settings:
        environment = without_memory_settings(environment)
    # Output goes to a file: a pipe that is not read fills up and blocks the process.
    own = _place(variant, number, folder)
    with _log(own).open("w") as log:
        arguments = [json.dumps(asdict(variant)), json.dumps(asdict(job)), str(own)]
        return start_child(__name__, arguments, environment, log)


def _place(variant: Variant, number: int, folder: Path) -> Path:
    return folder / f"{variant.name}-{number}"


def _log(own: Path) -> Path:
    return own.with_name(f"{own.name}.log")


def _run_epoch(variant: Variant, children: Sequence[Child], folder: Path) -> Mapping[str, float]:
    for child in children:
        child.process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
        child.process.stdin.flush()  # type: ignore[union-attr]
    done = [_read_message(variant, n, child, folder) for n, child in enumerate(children)]
    together = {key: sum(epoch[key] for epoch in done) for key in done[0]}
    return {
        **together,
        "seconds": max(epoch["seconds"] for epoch in done),
        "waited": together["waited"] / len(done),
    }


def _read_message(variant: Variant, number: int, child: Child, folder: Path) -> Mapping[str, float]:
    message = child.read_report()
    if message is None:
        log = _log(_place(variant, number, folder)).read_text()[-2000:]
        raise BenchError(
            f"{variant.name}: the process failed; its log ends with\n{log}", variant=variant.name
        )
    return message


def _work(variant: Variant, job: TrainingJob, folder: Path) -> None:
    """Run as a variant: prepare, then train one epoch per line from the parent."""
    config = RunConfig(data="-", preset=variant.preset)
    if not variant.own_network:
        shared, own = RunConfig(data="-", preset="baseline").network, config.network
        changes = {"width": job.width, "dropout": own.dropout, "head": own.head}
        config = config.model_copy(update={"network": shared.model_copy(update=changes)})
    epoch = _plain(config, job) if variant.plain else _member(config, job, folder)
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
    return decibels.astype(np.float16), random_labels(random, job.clips, job.words)


def _plain(config: RunConfig, job: TrainingJob) -> Iterator[Mapping[str, float]]:
    """Train with standardised float32 arrays and Keras `fit`."""
    from overlap.features import Normalisation
    from overlap.training.keras_import import keras
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
    batch = config.training.batch_size
    while True:
        started, faults = time.perf_counter(), page_faults()
        network.fit(x, y, batch_size=batch, epochs=1, verbose=0)
        seconds, faults = time.perf_counter() - started, page_faults() - faults
        yield {
            "clips": len(x), "steps": -(-len(x) // batch), "seconds": seconds,
            "faults": faults, "waited": 0.0,
        }  # fmt: skip


def _member(config: RunConfig, job: TrainingJob, folder: Path) -> Iterator[Mapping[str, float]]:
    """Train like a member, from a feature store on disk."""
    from overlap.bench.scale import write_catalogue
    from overlap.catalog import Partition, stored_rows
    from overlap.features import FeatureStore
    from overlap.io.location import Location
    from overlap.training.device import make_deterministic, prepare_device
    from overlap.training.engine.epochs import open_epochs
    from overlap.training.feed.memory_plan import MemoryPlan, window_chunks
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
    window = chunk * window_chunks(training.shuffle_clips, chunk)
    spec = MemberSpec(
        seed=0, fold=0, features=config.features, network=config.network, training=training,
        validation=config.validation, **asdict(constants(shape[-1])),
        words=tuple(map(str, range(job.words))),
        subset=WORDS_PER_CLIP if config.network.head != "softmax" else None,
        chunk_clips=chunk, training_key="",
    )  # fmt: skip
    plan = MemoryPlan(job.mode, 0, window)  # type: ignore[arg-type]  # checked by the command
    data, learner = assemble(spec, 0, store, labels, Partition(rows, rows[:0]), plan)
    endless = replace(data, training=training.model_copy(update={"epochs": 10**9}))
    epochs = open_epochs(learner, endless, 0)
    while True:
        started, waited, faults = time.perf_counter(), epochs.waited, page_faults()
        epochs.one_epoch()
        seconds, faults = time.perf_counter() - started, page_faults() - faults
        learner.refresh_batchnorm([])
        yield {
            "clips": data.clips, "steps": data.steps, "seconds": seconds,
            "faults": faults, "waited": epochs.waited - waited,
        }  # fmt: skip


if __name__ == "__main__":
    _work(
        Variant(**json.loads(sys.argv[1])),
        TrainingJob(**json.loads(sys.argv[2])),
        Path(sys.argv[3]),
    )
