"""One member, in a process of its own: `python -m overlap.training.member WORKSPACE FINGERPRINT`.

The member's folder holds its specification; the process trains, predicts and writes the record
last. Progress goes to standard output as JSON lines, everything else to standard error. A
process of its own gives all memory back, and a crash of it is an error of one member.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import keras
import numpy as np

from overlap.catalog import Catalog, partition
from overlap.child import as_child
from overlap.ensemble.scoring import kl
from overlap.errors import MemberError, OverlapError
from overlap.features import FeatureStore
from overlap.peak_memory import peak_memory_mb
from overlap.provenance import software
from overlap.storage import Location
from overlap.training.device import device_name, make_deterministic
from overlap.training.feed import ChunkedSource, open_source
from overlap.training.fit import Emit, Progress, compile_network, predict, train
from overlap.training.memory import plan_memory
from overlap.training.network import build_network
from overlap.training.spec import (
    CHECKPOINT_FILE,
    MEMBERS,
    MODEL_FILE,
    PREDICTIONS_FILE,
    RECORD_FILE,
    SPEC_FILE,
    MemberRecord,
    MemberSpec,
    load_record,
    test_key,
    training_key,
)


def run_member(workspace: Location, spec: MemberSpec, emit: Emit) -> MemberRecord:
    """Make a member complete: train it where it is not trained, then predict.

    Args:
        workspace: The workspace.
        spec: The member.
        emit: Receives progress as mappings.

    Raises:
        MemberError: the catalogue is no longer the one that the member was planned for.
    """
    folder = spec.folder(workspace)
    catalog, store = Catalog.load(workspace), FeatureStore.open(workspace)
    if training_key(catalog) != spec.training_key:
        raise MemberError("the training clips changed since this member was planned; run again")
    done = load_record(folder)
    if done is None:
        network, progress = _train(spec, catalog, store, folder, emit)
        _save_model(network, folder / MODEL_FILE)
    else:
        network = load_model(folder / MODEL_FILE)
        progress = Progress(done.history, done.seconds)
    emit({"event": "predict"})
    held_out_kl = _write_predictions(network, spec, catalog, store, folder)
    clips = len(partition(catalog, spec.validation, spec.fold).train)
    record = MemberRecord(
        fingerprint=spec.fingerprint,
        spec=spec,
        test_key=test_key(catalog),
        parameters=network.count_params(),
        history=progress.history,
        held_out_kl=held_out_kl,
        clips=clips,
        seconds=progress.seconds,
        clips_per_second=clips * len(progress.history) / max(progress.seconds, 1e-9),
        device=device_name() if done is None else done.device,
        peak_memory_mb=peak_memory_mb() if done is None else done.peak_memory_mb,
        software=software() if done is None else done.software,
        files={name: str((folder / name).digest()) for name in (MODEL_FILE, PREDICTIONS_FILE)},
    )
    (folder / RECORD_FILE).write_json(record.model_dump(mode="json"))
    (folder / CHECKPOINT_FILE).remove()
    return record


def load_model(location: Location) -> keras.Model:
    """Load a saved network; never runs code from the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        path.write_bytes(location.read_bytes())
        return keras.saving.load_model(path, compile=False, safe_mode=True)


def _train(
    spec: MemberSpec, catalog: Catalog, store: FeatureStore, folder: Location, emit: Emit
) -> tuple[keras.Model, Progress]:
    make_deterministic(spec.seed)
    rows = partition(catalog, spec.validation, spec.fold)
    everything = np.union1d(rows.train, rows.held_out)
    plan = plan_memory(store.config.shape, spec.chunk_clips, len(everything), spec.training)
    emit({"event": "plan", "mode": plan.mode, "bytes": plan.bytes, "device": device_name()})
    network = build_network(spec.network, store.config.shape, len(spec.words), spec.constants)
    compile_network(network, spec.training, -(-len(rows.train) // spec.training.batch_size))
    progress = train(
        network,
        spec.training,
        open_source(store, everything, plan),
        catalog.labels,
        rows,
        seed=spec.seed,
        chunk_clips=spec.chunk_clips,
        folder=folder,
        emit=emit,
    )
    return network, progress


def _save_model(network: keras.Model, location: Location) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / MODEL_FILE
        network.save(path)
        location.write_bytes(path.read_bytes())


def _write_predictions(
    network: keras.Model,
    spec: MemberSpec,
    catalog: Catalog,
    store: FeatureStore,
    folder: Location,
) -> float | None:
    source = ChunkedSource(store, 2)
    test = catalog.rows("test")
    held_out = partition(catalog, spec.validation, spec.fold).held_out
    predictions = predict(network, source, held_out)
    (folder / PREDICTIONS_FILE).write_arrays(
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
    stored = workspace / MEMBERS / arguments.fingerprint / SPEC_FILE
    with as_child() as emit:
        try:
            run_member(workspace, stored.read_model(MemberSpec), emit)
        except OverlapError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
