"""Trains one member: `python -m overlap.training.member WORKSPACE FINGERPRINT`.

The member's folder holds its specification. The process trains, predicts, and writes the record
last. Progress goes to standard output as JSON lines, everything else to standard error. With its
own process, a member returns all memory at the end, and a crash affects only that member.
"""

import argparse
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, Partition
from overlap.errors import CorruptError, DivergedError, MemberError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, PREDICTIONS_FILE, MemberPaths, WorkspacePaths
from overlap.metrics.divergence import kl, trivial_prediction
from overlap.system.child_process import Emit, child_main
from overlap.system.provenance import software
from overlap.system.resources.accelerators import usable_bytes
from overlap.system.resources.memory import peak_memory_mb
from overlap.training.device import (
    device_name,
    device_peak_mb,
    make_deterministic,
    on_accelerator,
    prepare_device,
)
from overlap.training.distillation.teacher import Teacher, open_teacher
from overlap.training.engine.epochs import predict
from overlap.training.feed.batches import TrainingData
from overlap.training.feed.device_dataset import DeviceDataset
from overlap.training.feed.memory_plan import MemoryPlan, plan_memory
from overlap.training.feed.sources import ChunkedSource, open_source
from overlap.training.fit import train
from overlap.training.inference.completion import complete_graph
from overlap.training.keras_import import keras
from overlap.training.learner import Learner, build_learner
from overlap.training.network import build_network, precision
from overlap.training.placement import placement_here
from overlap.training.progress import recording
from overlap.training.saved import load_network, save_network
from overlap.training.spec import (
    MemberRecord,
    MemberSpec,
    load_record,
    test_key,
    training_key,
    written_digest,
)


def run_member(workspace: Location, spec: MemberSpec, emit: Emit) -> MemberRecord:
    """Complete a member: train it if necessary, then predict.

    Args:
        workspace: The workspace.
        spec: The member.
        emit: Receives progress as mappings.

    Raises:
        MemberError: The training clips changed since the member was planned (code
            `training-clips-changed`), or the training diverged with two seeds
            (`training-diverged`).
    """
    folder = spec.folder(workspace)
    catalog, store = Catalog.load(workspace), FeatureStore.open(workspace)
    if training_key(catalog) != spec.training_key:
        raise MemberError(
            "the training clips changed since this member was planned; run again",
            code="training-clips-changed", member=spec.fingerprint,
        )  # fmt: skip
    existing = load_record(folder)
    emit = recording(folder, emit)
    if existing is None:
        trained = train_member(spec, catalog, store, folder, emit)
        save_network(trained.network, folder)
        network, fields = trained.network, trained.fields
    else:
        network = load_network(folder, existing)
        fields = dict(existing)  # predicting again does not change the fields of the training
    emit({"event": "predict"})
    held_out_kl = _write_predictions(network, spec, catalog, store, folder)
    predicted = {
        "fingerprint": spec.fingerprint,
        "spec": spec,
        "test_key": test_key(catalog),
        "parameters": network.count_params(),
        "held_out_kl": held_out_kl,
        "files": {n: written_digest(folder / n) for n in (MODEL_FILE, PREDICTIONS_FILE)},
    }
    record = MemberRecord(**{**fields, **predicted})
    paths = MemberPaths(folder)
    paths.record.write_record(record)
    for leftover in (paths.checkpoint, paths.failures):
        leftover.remove()
    complete_graph(network, record, catalog, store, folder)
    return record


@dataclass(frozen=True, eq=False)
class Trained:
    """The result of a training."""

    network: keras.Model
    fields: Mapping[str, Any]
    """The fields of the member's record that describe the training."""


RETRIES = 1
"""How often a diverged training restarts with another seed."""
RETRY_SEED_OFFSET = 1_000_003
"""Added to the seed for each retry; no other member of the ensemble has the resulting seed."""


def train_member(
    spec: MemberSpec, catalog: Catalog, store: FeatureStore, folder: Location, emit: Emit
) -> Trained:
    """Train a member; if it diverges, retry once with another seed.

    Failures are recorded in the folder, so that a training that is interrupted in its second
    attempt resumes with that attempt.

    Raises:
        MemberError: Every attempt diverged (code `training-diverged`, with the `failures`).
    """
    paths = MemberPaths(folder)
    failures = recorded_failures(paths, emit)
    while True:
        seed = spec.seed + len(failures) * RETRY_SEED_OFFSET
        try:
            return _attempt(spec, seed, catalog, store, folder, emit, tuple(failures))
        except DivergedError as error:
            failures.append(f"seed {seed} {error}")
            paths.checkpoint.remove()
        if len(failures) > RETRIES:
            paths.failures.remove()
            raise MemberError(
                "; ".join(failures) + "; lower training.learning_rate",
                code="training-diverged", member=spec.fingerprint, failures=failures,
            )  # fmt: skip
        paths.failures.write_json(failures)
        emit({"event": "diverged", "reason": failures[-1]})
        keras.backend.clear_session()


def recorded_failures(paths: MemberPaths, emit: Emit) -> list[str]:
    """Return the attempts that diverged, one line each.

    If their file is damaged, the attempt that the checkpoint belongs to is unknown, and the
    training begins again.
    """
    if not paths.failures.exists():
        return []
    try:
        found = paths.failures.read_json()
        if isinstance(found, list) and all(isinstance(line, str) for line in found):
            return found
        reason = f"{paths.failures}: is damaged: it is not a list of lines"
    except CorruptError as error:
        reason = str(error)
    emit({"event": "again", "reason": f"{reason}; the training restarts"})
    for file in (paths.checkpoint, paths.failures):
        file.remove()
    return []


def _attempt(
    spec: MemberSpec,
    seed: int,
    catalog: Catalog,
    store: FeatureStore,
    folder: Location,
    emit: Emit,
    failures: tuple[str, ...],
) -> Trained:
    prepare_device()
    make_deterministic(seed)
    rows, training = spec.partition(catalog), spec.training
    clips = len(rows.train) + len(rows.held_out)
    device = usable_bytes() if on_accelerator() else 0
    plan = plan_memory(
        store.config.clip_bytes, spec.chunk_clips, clips, training, device_bytes=device
    )
    emit({"event": "plan", "mode": plan.mode, "bytes": plan.bytes, "device": device_name()})
    teacher = open_teacher(spec, folder)
    data, learner = assemble(spec, seed, store, catalog.labels, rows, plan, teacher)
    progress = train(learner, data, folder, emit, _trivial_loss(catalog.labels[rows.train], spec))
    return Trained(
        learner.network,
        {
            "history": progress.history,
            "kept_epoch": progress.kept_epoch,
            "seed": seed,
            "failures": failures,
            "clips": len(rows.train),
            "seconds": progress.seconds,
            "clips_per_second": data.clips * len(progress.history) / max(progress.seconds, 1e-9),
            "host_wait_fraction": min(1.0, progress.waited / max(progress.seconds, 1e-9)),
            "energy_joules": progress.joules,
            "feed": plan.mode,
            "backend": keras.backend.backend(),
            "device": device_name(),
            "device_peak_mb": device_peak_mb(),
            "peak_memory_mb": peak_memory_mb(),
            "software": software(),
            "placement": placement_here(),
        },
    )


def assemble(
    spec: MemberSpec,
    seed: int,
    store: FeatureStore,
    labels: NDArray[np.float64],
    rows: Partition,
    plan: MemoryPlan,
    teacher: Teacher | None = None,
) -> tuple[TrainingData, Learner]:
    """Build the learner of a member and its training data.

    Args:
        spec: The member.
        seed: Seed of the attempt.
        store: The features.
        labels: (rows of the catalogue, words) float64.
        rows: Rows to train on, and rows to score on.
        plan: Where the features are kept.
        teacher: What a student learns from; None: the labels alone.
    """
    shape, training = store.config.shape, spec.training
    dataset, resident, source_rows = None, None, np.union1d(rows.train, rows.held_out)
    if plan.mode == "device" and keras.backend.backend() == "jax":
        from overlap.training.engine.resident import ResidentSet

        parts = ChunkedSource(store).batches(source_rows, spec.chunk_clips)
        resident = ResidentSet(source_rows, labels[source_rows].astype(np.float32), shape, parts)
        source_rows = source_rows[:0]
    elif plan.mode == "device":
        dataset = DeviceDataset((len(rows.train), *shape), labels[rows.train].astype(np.float32))
        dataset.fill(ChunkedSource(store).batches(rows.train, spec.chunk_clips))
        source_rows = rows.held_out
    data = TrainingData(
        source=open_source(store, source_rows, plan),
        labels=labels,
        partition=rows,
        chunk_clips=spec.chunk_clips,
        training=training,
        seed=seed,
        on_device=dataset is not None,
        resident=resident,
    )
    with precision(training.precision):
        network = build_network(spec.network, shape, len(spec.words), spec.constants, spec.subset)
        if teacher is not None:
            teacher.prepare(network.model)
        learner = build_learner(
            network, training, spec.constants,
            subset=spec.subset, steps=data.steps, seed=seed, dataset=dataset,
            teacher=teacher,
        )  # fmt: skip
    return data, learner


def _trivial_loss(labels: NDArray[np.float64], spec: MemberSpec) -> float:
    """Return the loss of equal scores for sets of words, or of the mean label, nats."""
    if spec.subset is not None:
        return math.log(math.comb(len(spec.words), spec.subset))
    return kl(labels, trivial_prediction(labels, len(labels)))


def _write_predictions(
    network: keras.Model,
    spec: MemberSpec,
    catalog: Catalog,
    store: FeatureStore,
    folder: Location,
) -> float | None:
    source = ChunkedSource(store)
    test = catalog.rows("test")
    rows = spec.partition(catalog)
    held_out = rows.reserved if spec.judged else rows.held_out
    predictions = predict(network, source, held_out)
    MemberPaths(folder).predictions.write_arrays(
        {
            "test_rows": test,
            "test": predict(network, source, test),
            "held_out_rows": held_out,
            "held_out": predictions,
        }
    )
    return kl(catalog.labels[held_out], predictions) if len(held_out) else None


def main() -> int:
    """Complete the member that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workspace")
    parser.add_argument("fingerprint")
    arguments = parser.parse_args()
    workspace = Location.of(arguments.workspace)
    stored = WorkspacePaths(workspace).member(arguments.fingerprint).spec

    def work(emit: Emit) -> None:
        run_member(workspace, stored.read_record(MemberSpec), emit)

    return child_main(work)


if __name__ == "__main__":
    sys.exit(main())
