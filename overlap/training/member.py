"""One member, in a process of its own: `python -m overlap.training.member WORKSPACE FINGERPRINT`.

The member's folder holds its specification; the process trains, predicts and writes the record
last. Progress goes to standard output as JSON lines, everything else to standard error. A
process of its own gives all memory back, and a crash of it is an error of one member.
"""

import argparse
import json
import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog, Partition, partition
from overlap.errors import DivergedError, MemberError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE, PREDICTIONS_FILE, MemberPaths, WorkspacePaths
from overlap.metrics.divergence import kl, trivial_prediction
from overlap.system.accelerators import usable_bytes
from overlap.system.memory import peak_memory_mb
from overlap.system.provenance import software
from overlap.system.worker_process import child_main
from overlap.training.device import (
    device_name,
    device_peak_mb,
    make_deterministic,
    on_accelerator,
    prepare_device,
)
from overlap.training.feed.batches import TrainingData
from overlap.training.feed.device_dataset import DeviceDataset
from overlap.training.feed.memory_plan import MemoryPlan, plan_memory
from overlap.training.feed.sources import ChunkedSource, open_source
from overlap.training.fit import Emit, predict, train
from overlap.training.learner import Learner, build_learner
from overlap.training.network import build_network, precision
from overlap.training.placement import placement_here
from overlap.training.saved import load_network, save_network
from overlap.training.spec import MemberRecord, MemberSpec, load_record, test_key, training_key


def run_member(workspace: Location, spec: MemberSpec, emit: Emit) -> MemberRecord:
    """Make a member complete: train it where it is not trained, then predict.

    Args:
        workspace: The workspace.
        spec: The member.
        emit: Receives progress as mappings.

    Raises:
        MemberError: the catalogue is no longer the one that the member was planned for, or the
            training diverged with two seeds.
    """
    folder = spec.folder(workspace)
    catalog, store = Catalog.load(workspace), FeatureStore.open(workspace)
    if training_key(catalog) != spec.training_key:
        raise MemberError("the training clips changed since this member was planned; run again")
    done = load_record(folder)
    if done is None:
        trained = train_member(spec, catalog, store, folder, emit)
        save_network(trained.network, folder)
        network, about = trained.network, trained.about
    else:
        network = load_network(folder, done)
        about = dict(done)  # another prediction keeps what the training gave
    emit({"event": "predict"})
    held_out_kl = _write_predictions(network, spec, catalog, store, folder)
    predicted = {
        "fingerprint": spec.fingerprint,
        "spec": spec,
        "test_key": test_key(catalog),
        "parameters": network.count_params(),
        "held_out_kl": held_out_kl,
        "files": {n: str((folder / n).digest()) for n in (MODEL_FILE, PREDICTIONS_FILE)},
    }
    record = MemberRecord(**{**about, **predicted})
    paths = MemberPaths(folder)
    paths.record.write_record(record)
    for left in (paths.checkpoint, paths.failures):
        left.remove()
    return record


@dataclass(frozen=True, eq=False)
class Trained:
    """What a training gives."""

    network: keras.Model
    about: Mapping[str, Any]
    """The fields of the record that the training gives."""


RETRIES = 1
"""How often a training that diverged begins again, with another seed."""
OTHER_SEED = 1_000_003
"""Added to the seed for that: no other member of the ensemble has the sum."""


def train_member(
    spec: MemberSpec, catalog: Catalog, store: FeatureStore, folder: Location, emit: Emit
) -> Trained:
    """Train a member; where it diverges, once more with another seed.

    What diverged is written into the folder, so that a training which is interrupted in its
    second attempt goes on with that.

    Raises:
        MemberError: it diverged every time.
    """
    failures: list[str] = []
    paths = MemberPaths(folder)
    if paths.failures.exists():
        failures = json.loads(paths.failures.read_bytes())
    while True:
        seed = spec.seed + len(failures) * OTHER_SEED
        try:
            return _attempt(spec, seed, catalog, store, folder, emit, tuple(failures))
        except DivergedError as error:
            failures.append(f"seed {seed} {error}")
            paths.checkpoint.remove()
        if len(failures) > RETRIES:
            paths.failures.remove()
            raise MemberError("; ".join(failures) + "; lower training.learning_rate")
        paths.failures.write_json(failures)
        emit({"event": "diverged", "reason": failures[-1]})
        keras.backend.clear_session()


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
    rows, training = partition(catalog, spec.validation, spec.fold), spec.training
    clips = len(rows.train) + len(rows.held_out)
    device = usable_bytes() if on_accelerator() else 0
    plan = plan_memory(
        store.config.clip_bytes, spec.chunk_clips, clips, training, device_bytes=device
    )
    emit({"event": "plan", "mode": plan.mode, "bytes": plan.bytes, "device": device_name()})
    data, learner = assemble(spec, seed, store, catalog.labels, rows, plan)
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
) -> tuple[TrainingData, Learner]:
    """Put what learns and what it learns from together.

    Args:
        spec: The member.
        seed: Its seed, or that of its second attempt.
        store: The features.
        labels: (all rows, words).
        rows: The rows to learn from, and those to be scored on.
        plan: Where the features are.
    """
    shape, training = store.config.shape, spec.training
    resident, wanted = None, np.union1d(rows.train, rows.held_out)
    if plan.mode == "device":
        resident = DeviceDataset((len(rows.train), *shape), labels[rows.train].astype(np.float32))
        resident.fill(ChunkedSource(store).batches(rows.train, spec.chunk_clips))
        wanted = rows.held_out
    data = TrainingData(
        source=open_source(store, wanted, plan),
        labels=labels,
        partition=rows,
        chunk_clips=spec.chunk_clips,
        training=training,
        seed=seed,
        resident=resident is not None,
    )
    with precision(training.precision):
        network = build_network(spec.network, shape, len(spec.words), spec.constants, spec.subset)
        learner = build_learner(
            network, training, spec.constants,
            subset=spec.subset, steps=data.steps, seed=seed, resident=resident,
        )  # fmt: skip
    return data, learner


def _trivial_loss(labels: NDArray[np.float64], spec: MemberSpec) -> float:
    """Loss of equal scores for sets of words, or of the mean label: both know no sound."""
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
    held_out = partition(catalog, spec.validation, spec.fold).held_out
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
    """Make the member complete whose specification stands in its folder."""
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
