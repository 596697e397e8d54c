"""Files of a workspace and the keys in them keep their names (docs/architecture.md).

Every workspace that exists contains these names. Additions are compatible; a renamed or removed
name is not.
"""

import json
from pathlib import Path

import numpy as np
import pytest
import zarr

from overlap.ensemble.registry import list_ensembles
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.training.progress import read_progress
from overlap.training.spec import load_record
from overlap.workspace.runs import read_runs
from support.process_fixtures import Finished

pytestmark = pytest.mark.extended

FILES = {
    "catalog.parquet", "quarantine.parquet", "champion.json", "costs.json",
    "features.zarr/zarr.json",
    "members/*/spec.json", "members/*/model.keras", "members/*/predictions.npz",
    "members/*/log.txt", "members/*/member.json", "members/*/placements/*.json",
    "ensembles/*/predictions.npz", "ensembles/*/submission.csv", "ensembles/*/ensemble.json",
    "ensembles/*/report.html", "members/*/progress.jsonl", "runs/*.json",
}  # fmt: skip
KEYS = {
    "members/*/spec.json": {
        "seed", "fold", "features", "network", "training", "validation", "floor_db", "mean_db",
        "std_db", "words", "subset", "chunk_clips", "training_key",
    },
    "members/*/member.json": {
        "fingerprint", "spec", "test_key", "parameters", "history", "held_out_kl", "kept_epoch",
        "seed", "failures", "clips", "seconds", "clips_per_second", "host_wait_fraction",
        "energy_joules", "feed", "placement", "device", "device_peak_mb", "peak_memory_mb",
        "software", "files",
    },
    "members/*/placements/*.json": {
        "worker", "name", "host", "process", "resources", "started", "ended", "fault",
    },
    "ensembles/*/ensemble.json": {
        "version", "fingerprint", "created", "members", "pooled", "pool", "words", "data", "clips",
        "kl", "trivial_kl", "member_kl", "curve", "held_out_key", "test_key", "files", "imputed",
        "config", "software", "git_revision", "fitted", "choice", "law", "more", "fewer",
        "kl_interval", "seconds", "run_seconds", "drift_db",
    },
    "champion.json": {"version", "earlier", "considered", "leaving", "history"},
    "runs/*.json": {
        "id", "kind", "started", "written", "host", "process", "source", "data", "preset",
        "members", "stages", "ended", "outcome", "error", "code", "version", "promoted", "reason",
    },
}  # fmt: skip
CHECKSUM = "seal"
STORED_FEATURES = {"rate_hz", "clip_seconds", "hop", "mels", "fmin_hz", "fmax_hz", "resolutions"}
"""Keys of the features in a specification; the configuration may use other spellings."""
ARRAYS = {
    "mel", "clip_id", "split", "valid", "blocks/key", "blocks/digest", "blocks/histogram",
    "frequency", "time", "n_fft", "win_length", "word",
}  # fmt: skip
ATTRIBUTES = {"features", "block_clips", "units", "splits", "seal", "format", "catalogue"}
PREDICTIONS = {"test_rows", "test", "held_out_rows", "held_out"}
LEARNED_FROM = {"train_audio", "train_fold", "train_group", "train_folds", "train_named_by"}


def found(workspace: Path, pattern: str) -> Path:
    """The first file of a pattern."""
    file = min(workspace.glob(pattern), default=None)
    assert file is not None, pattern
    return file


@pytest.mark.parametrize("pattern", sorted(FILES))
def test_files_of_a_workspace(finished: Finished, pattern: str) -> None:
    assert found(finished.workspace, pattern).stat().st_size > 0


def test_a_run_records_its_stages_and_its_members_their_epochs(finished: Finished) -> None:
    workspace = Location.of(finished.workspace)
    # Other tests repeat the run in this workspace; theirs are newer.
    run = min(read_runs(workspace), key=lambda one: one.started)
    assert [stage.name for stage in run.stages][-3:] == ["features (clips)", "members", "pooling"]
    assert all(stage.done == stage.total and stage.ended for stage in run.stages)
    assert (run.state(), run.kind, run.source) == ("completed", "retrain", "command line")
    (ensemble,) = list_ensembles(workspace)
    assert (run.version, run.promoted) == (ensemble.version, True)
    for name in ensemble.members:
        folder = WorkspacePaths(workspace).member(name).folder
        record, epochs = load_record(folder), read_progress(folder)
        assert record is not None
        assert [one.loss for one in epochs] == [one["loss"] for one in record.history]
        assert epochs[-1].device == record.device


@pytest.mark.parametrize("pattern", sorted(KEYS))
def test_keys_of_records(finished: Finished, pattern: str) -> None:
    record = json.loads(found(finished.workspace, pattern).read_bytes())
    assert (KEYS[pattern] | {CHECKSUM}) - set(record) == set()
    if pattern == "members/*/spec.json":
        assert STORED_FEATURES - set(record["features"]) == set()


def test_arrays_of_the_store(finished: Finished) -> None:
    store = zarr.open_group(finished.workspace / "features.zarr", mode="r")
    assert ARRAYS - {name for name, _ in store.members(max_depth=None)} == set()
    assert ATTRIBUTES - set(store.attrs) == set()
    mel = store["mel"]
    assert isinstance(mel, zarr.Array)
    assert mel.metadata.dimension_names == ("clip", "frequency", "time", "resolution")
    assert mel.attrs["units"] == "dB"


@pytest.mark.parametrize("folder", ["members", "ensembles"])
def test_arrays_of_predictions(finished: Finished, folder: str) -> None:
    with np.load(found(finished.workspace, f"{folder}/*/predictions.npz")) as arrays:
        assert PREDICTIONS - set(arrays.files) == set()
        if folder == "ensembles":
            assert LEARNED_FROM - set(arrays.files) == set()
