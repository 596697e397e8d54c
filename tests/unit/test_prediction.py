"""Prediction of files: batches in memory, jobs, their chunks, and the table."""

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.catalog import list_clips
from overlap.config import FeatureConfig, NetworkConfig, Stage
from overlap.ensemble.pooling import Pool, pool_mean
from overlap.errors import CorruptError, DataError, MemberError
from overlap.features import Normalisation
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.metrics.disagreement import disagreement
from overlap.prediction import batches as batches_module
from overlap.prediction import jobs as jobs_module
from overlap.prediction.batches import batch_clips, batches
from overlap.prediction.jobs import PredictionChunk, PredictionJob, plan_prediction, read_chunk
from overlap.prediction.table import prediction_table
from support.errors import raises
from support.run_steps import published

FEATURES = FeatureConfig()
ENSEMBLE = published("v1", "abcd", ("m1",))


@pytest.fixture
def clips(data: Path, tmp_path: Path) -> Path:
    """20 usable clips and two unusable ones."""
    folder = Path(shutil.copytree(data / "test", tmp_path / "clips"))
    (folder / "a_broken.wav").write_bytes(b"no sound")
    soundfile.write(folder / "test_000003b.wav", np.zeros(16000), 16000)
    return folder


def sounds(folder: Path, files: list[str]) -> np.ndarray:
    return np.stack([soundfile.read(folder / file, dtype="float32")[0] for file in files])


# --- batches ---------------------------------------------------------------------------------


@pytest.mark.parametrize(("batch", "group"), [(256, 32), (7, 32), (7, 3), (10, 5), (1, 1)])
def test_batches_have_every_usable_clip_once(
    clips: Path, monkeypatch: pytest.MonkeyPatch, batch: int, group: int
) -> None:
    monkeypatch.setattr(batches_module, "BATCH_CLIPS", batch)
    monkeypatch.setattr(batches_module, "GROUP", group)
    files = tuple(sorted(file.name for file in clips.iterdir()))
    decoded = {}
    found = list(batches(Location.of(clips), files, FEATURES, decoded.__setitem__))
    assert sorted(decoded) == list(range(22))
    bad = [index for index, clip in decoded.items() if isinstance(clip, Exception)]
    assert [files[index] for index in bad] == ["a_broken.wav", "test_000003b.wav"]
    indices = np.concatenate([one.indices for one in found])
    assert indices.tolist() == [index for index in range(22) if index not in bad]
    assert {one.decibels.shape for one in found} == {(min(batch, 22), *FEATURES.shape)}
    decibels = np.concatenate([one.decibels[: len(one.indices)] for one in found])
    expected = compute_features(sounds(clips, [files[index] for index in indices]), FEATURES)
    assert np.array_equal(decibels, expected)


def test_longer_clips_make_smaller_batches() -> None:
    assert batch_clips(FEATURES, 10_000) == 256
    assert batch_clips(FEATURES, 10) == 10
    assert batch_clips(FEATURES.model_copy(update={"clip_seconds": 60.0}), 10_000) == 20


# --- a job -----------------------------------------------------------------------------------


def test_files_are_predicted_like_their_features(
    clips: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from overlap.prediction.worker import predict_files
    from overlap.training.network import build_network

    monkeypatch.setattr(batches_module, "BATCH_CLIPS", 8)
    network = NetworkConfig(stages=(Stage(kind="plain", filters=4),), input_pool=(8, 8), dense=8)
    constants = Normalisation((-80.0,) * 4, (-50.0,) * 4, (15.0,) * 4)
    networks = [build_network(network, FEATURES.shape, 4, constants).model for _ in range(3)]
    files = tuple(sorted(file.name for file in clips.iterdir()))
    job = PredictionJob(
        ensemble="E", members=("m1", "m2", "m3"), pool=Pool(), features=FEATURES,
        data=str(clips), files=files, out=str(clips / "chunk"),
    )  # fmt: skip
    events = []
    chunk = predict_files(job, networks, pool_mean, 4, events.append)
    assert [event["done"] for event in events] == [10, 18, 22, 22]
    usable = chunk.reason == ""
    decibels = compute_features(sounds(clips, [f for f in files if "b" not in f]), FEATURES)
    members = np.stack([one.predict(decibels, verbose=0) for one in networks])
    assert np.abs(chunk.probabilities[usable] - pool_mean(members)).max() < 1e-5
    assert (
        np.abs(chunk.disagreement[usable] - disagreement(members, pool_mean(members))).max() < 1e-5
    )
    assert np.isnan(chunk.probabilities[~usable]).all()
    assert np.isnan(chunk.disagreement[~usable]).all()
    assert chunk.reason[files.index("test_000003b.wav")] == "silent"
    assert read_chunk(job) is None
    chunk.write(Location(job.out))
    again = read_chunk(job)
    assert again is not None
    for name, values in vars(chunk).items():
        assert np.array_equal(getattr(again, name), values, equal_nan=values.dtype.kind == "f")


def synthetic(count: int, seed: int = 0) -> PredictionChunk:
    random = np.random.default_rng(seed)
    values = random.dirichlet(np.ones(4), count).astype(np.float32)
    empty = np.array([""] * count)
    return PredictionChunk(values, values[:, 0], empty, empty, np.zeros(count, np.bool_))


def test_missing_damaged_or_foreign_chunks_do_not_count(workspace: Location) -> None:
    out = workspace / "chunk.npz"
    job = PredictionJob(
        ensemble="E", members=("m1",), pool=Pool(), features=FEATURES, data="D",
        files=("a", "b"), out=str(out),
    )  # fmt: skip
    synthetic(2).write(out)
    assert read_chunk(job) is not None
    # The keys of the file are fixed: chunks of earlier versions are reused.
    assert [*out.read_arrays()] == ["shares", "spread", "reason", "repairs", "clipped"]
    synthetic(3).write(out)
    assert read_chunk(job) is None
    synthetic(2).write(out)
    out.write_bytes(out.read_bytes()[:-40])
    assert read_chunk(job) is None
    out.write_arrays({"other": np.zeros(2)})
    assert read_chunk(job) is None


# --- the plan and the table ------------------------------------------------------------------


@pytest.fixture
def member(monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces the record of the only member."""
    from types import SimpleNamespace

    record = SimpleNamespace(
        fingerprint="m1",
        spec=SimpleNamespace(features=FEATURES),
        files={"model.keras": "digest"},
    )
    monkeypatch.setattr(jobs_module, "records_of", lambda _place, names: [record for _ in names])
    monkeypatch.setattr(jobs_module, "JOB_CLIPS", 8)


def planned(workspace: Location, clips: Path) -> jobs_module.PredictionPlan:
    return plan_prediction(workspace, workspace, ENSEMBLE, list_clips(clips))


def test_only_new_clips_are_missing(workspace: Location, clips: Path, member: None) -> None:
    plan = planned(workspace, clips)
    assert [len(job.files) for job in plan.jobs] == [8, 8, 6]
    assert [f for job in plan.jobs for f in job.files] == sorted(f.name for f in clips.iterdir())
    assert plan.missing() == [*plan.jobs]
    with raises(CorruptError, "chunks-missing", missing=3, parts=3):
        prediction_table(plan)
    for job in plan.jobs:
        synthetic(len(job.files)).write(Location(job.out))
    assert planned(workspace, clips).missing() == []
    unopened = np.array(["", "cannot be opened (timed out)", *[""] * 6])
    replace(synthetic(8), reason=unopened).write(Location(plan.jobs[1].out))
    assert planned(workspace, clips).missing() == [plan.jobs[1]]
    assert len(prediction_table(plan).imputed) == 1
    synthetic(8).write(Location(plan.jobs[1].out))
    soundfile.write(clips / "z.wav", np.ones(100) / 2, 16000)
    assert [len(job.files) for job in planned(workspace, clips).missing()] == [7]
    (clips / "test_000000.wav").write_bytes(b"other")
    assert [len(job.files) for job in planned(workspace, clips).missing()] == [8, 7]


def test_an_unusable_clip_has_the_mean_and_no_disagreement(
    workspace: Location, clips: Path, member: None
) -> None:
    plan = planned(workspace, clips)
    for number, job in enumerate(plan.jobs):
        chunk = synthetic(len(job.files), number)
        bad = np.array([file == "a_broken.wav" for file in job.files])
        chunk.probabilities[bad] = chunk.disagreement[bad] = np.nan
        replace(chunk, reason=np.where(bad, "unreadable", "")).write(Location(job.out))
    made = prediction_table(plan)
    assert [*made.table.columns] == ["id", "a", "b", "c", "d", "spread"]
    assert made.table["id"].tolist() == sorted(f.stem for f in clips.iterdir())
    assert made.imputed == ("a_broken",)
    (warning,) = made.warnings
    assert "a_broken.wav (unreadable)" in warning
    table = made.table.set_index("id")
    assert np.allclose(table.loc["a_broken", [*"abcd"]].astype(float), table[1:][[*"abcd"]].mean())
    assert table["spread"].isna().sum() == 1


@pytest.mark.parametrize(
    ("repairs", "reason"),
    [("resampled trimmed", ""), ("", "too large (40 MB)")],
)
def test_recordings_are_pointed_to_their_option(
    workspace: Location, clips: Path, member: None, repairs: str, reason: str
) -> None:
    plan = planned(workspace, clips)
    for number, job in enumerate(plan.jobs):
        chunk, one = synthetic(len(job.files), number), np.arange(len(job.files)) == 0
        changed = {"repairs": np.where(one, repairs, ""), "reason": np.where(one, reason, "")}
        replace(chunk, **changed).write(Location(job.out))
    assert any("predict --recordings" in warning for warning in prediction_table(plan).warnings)


def test_a_template_sets_the_order_and_chunks_are_reused(
    workspace: Location, clips: Path, member: None
) -> None:
    plan = planned(workspace, clips)
    for number, job in enumerate(plan.jobs):
        synthetic(len(job.files), number).write(Location(job.out))
    before = prediction_table(plan).table.set_index("id")
    order = before.index[::-1]
    template = pd.DataFrame({"id": order, "d": 0, "b": 0, "a": 0, "c": 0})
    template.to_csv(clips / "submission.csv", index=False)
    again = planned(workspace, clips)
    assert again.missing() == []
    made = prediction_table(again)
    assert [*made.table.columns] == ["id", "d", "b", "a", "c", "spread"]
    pd.testing.assert_frame_equal(made.table.set_index("id")[[*before.columns]], before.loc[order])
    # A table in the folder of the clips is their template; its disagreement is not a word.
    made.write(Location.of(clips / "submission.csv"))
    read = pd.read_csv(clips / "submission.csv").set_index("id")
    assert np.allclose(read["spread"], before.loc[order, "spread"], atol=1e-7)
    assert planned(workspace, clips).words == ("d", "b", "a", "c")


def test_folders_that_cannot_be_predicted(
    workspace: Location, clips: Path, member: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (clips / "submission.csv").write_text("id,a,b,c,x\ntest_000000,0,0,0,0\n")
    template = str(clips / "submission.csv")
    with raises(DataError, "other-words", path=template, words=["d", "x"]):
        planned(workspace, clips)
    (clips / "submission.csv").write_text("id,a,b,c,d\nnobody,0,0,0,0\n")
    with raises(DataError, "invalid-data", problems=(("no-id-matches", 1),)):
        planned(workspace, clips)
    (clips / "submission.csv").unlink()
    (clips / "a_broken.flac").touch()
    with raises(DataError, "invalid-data", problems=(("duplicate-file-ids", 2),)):
        planned(workspace, clips)
    (clips / "a_broken.flac").unlink()
    plan = planned(workspace, clips)
    for job in plan.jobs:
        chunk = synthetic(len(job.files))
        replace(chunk, reason=np.full(len(job.files), "silent")).write(Location(job.out))
    with raises(DataError, "no-usable-clip", path=str(clips), reasons=["silent"]):
        prediction_table(plan)
    monkeypatch.undo()
    with raises(MemberError, "members-missing", version="v1", missing=1):
        planned(workspace, clips)
