"""Trains epochs of one variant: `python -m overlap.bench.training.epochs VARIANT JOB FOLDER`.

The process prepares, reports, and then trains one epoch per line of its input. The report of an
epoch has its clips and steps, elapsed and processor seconds, the seconds in which it waited for
batches, page faults, bytes read from disks, and the peak memory in bytes.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from overlap.bench.training.variants import TrainingJob, Variant
from overlap.bench.untrained_learner import WORDS_PER_CLIP, constants, random_labels
from overlap.config import RunConfig
from overlap.system.child_process import child_reporter
from overlap.system.resources.memory import page_faults, peak_memory_mb
from overlap.system.resources.page_cache import bytes_read, evict


def _work(variant: Variant, job: TrainingJob, folder: Path) -> None:
    """Run as a variant: prepare, then train one epoch per line from the parent."""
    config = RunConfig(data="-", preset=variant.preset)
    if not variant.own_network:
        shared, own = RunConfig(data="-", preset="baseline").network, config.network
        changes = {"width": job.width, "dropout": own.dropout, "head": own.head}
        config = config.model_copy(update={"network": shared.model_copy(update=changes)})
    if job.shuffle_clips is not None:
        training = config.training.model_copy(update={"shuffle_clips": job.shuffle_clips})
        config = config.model_copy(update={"training": training})
    job = job if variant.mode is None else replace(job, mode=variant.mode)
    epoch = _plain(config, job) if variant.plain else _member(config, job, folder)
    with child_reporter(reads_input=True) as emit:
        next(epoch)
        emit({})
        for _ in sys.stdin:
            if variant.cold:
                evict(folder)
            before = bytes_read(), time.process_time()
            done = next(epoch)
            emit(
                done
                | {
                    "bytes_read": bytes_read() - before[0],
                    "cpu_seconds": time.process_time() - before[1],
                    "peak_bytes": 1e6 * _peak_mb(),
                }
            )


def _peak_mb() -> float:
    from overlap.training.device import device_peak_mb

    return peak_memory_mb() + (device_peak_mb() or 0.0)


def _synthetic_data(config: RunConfig, job: TrainingJob) -> tuple[Any, Any]:
    """Generate decibels of up to 512 clips, and labels of all clips with equal probabilities."""
    random = np.random.default_rng(0)
    decibels = random.normal(-40, 15, (min(job.clips, 512), *config.features.shape))
    return decibels.astype(np.float16), random_labels(random, job.clips, job.words)


def _plain(config: RunConfig, job: TrainingJob) -> Iterator[dict[str, float]]:
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


def _member(config: RunConfig, job: TrainingJob, folder: Path) -> Iterator[dict[str, float]]:
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
    plan = MemoryPlan(job.mode, 0, window)
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
