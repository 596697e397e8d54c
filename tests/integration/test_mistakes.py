"""Mistakes of a user end a command with exit code 2 and one message, without a traceback.

The tests check the code and the facts of a message. Its wording may change.
"""

import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import soundfile

from support.dask_processes import GPU, scheduler, worker
from support.errors import printed_code
from support.processes import free_port

pytestmark = pytest.mark.extended


def refused(overlap, *arguments: object) -> str:
    """Run a command that overlap refuses; return its message, which ends with a code."""
    message = overlap(*arguments, code=2).stderr
    assert "Traceback" not in message
    assert printed_code(message), message
    return message


@pytest.fixture
def copy(data: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(data, tmp_path / "copy"))


def test_folders(overlap, tmp_path: Path) -> None:
    missing, empty, some = tmp_path / "missing", tmp_path / "empty", tmp_path / "some"
    empty.mkdir()
    (some / "train").mkdir(parents=True)
    for code, arguments in (
        ("no-such-folder", ("run", "--data", missing)),
        ("no-training-folder", ("run", "--data", empty)),
        ("no-clips", ("run", "--data", some)),
        ("no-such-folder", ("plan", "--data", missing)),
        ("no-catalog", ("status", "--workspace", empty)),
        ("no-catalog", ("verify", "--workspace", empty)),
    ):
        message = refused(overlap, *arguments)
        assert printed_code(message) == code
        assert str(arguments[-1]) in message
    assert "nonsense://" in refused(overlap, "run", "--data", "nonsense://x")


def test_an_archive_is_data_but_no_workspace(overlap, data: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", data)
    said = refused(overlap, "run", "--data", archive, "--workspace", archive)
    assert "[read-only-archive]" in said
    overlap("plan", "--data", archive, "--workspace", tmp_path / "w")
    broken = tmp_path / "broken.zip"
    broken.write_bytes(b"half a download")
    assert "[not-an-archive]" in refused(overlap, "run", "--data", broken)


def test_configuration(overlap, data: Path, tmp_path: Path) -> None:
    run = ("run", "--data", data, "--workspace", tmp_path / "w")
    message = refused(overlap, *run, "--preset", "quick")
    assert all(preset in message for preset in ("demo", "baseline", "fast", "wide"))
    assert "epochs" in refused(overlap, *run, "--set", "training.epoch=3")
    assert "ensemble.members" in refused(overlap, *run, "--members", 0)
    assert "none.toml" in refused(overlap, *run, "--config", "none.toml")
    assert not (tmp_path / "w").exists()
    overlap("run", code=2)  # no --data
    overlap("fly", code=2)


def test_every_problem_of_the_data_in_one_message(overlap, copy: Path, tmp_path: Path) -> None:
    """Other words than the template, rows that do not sum to 1, an id without a file."""
    labels = pd.read_csv(copy / "train_answer.csv")
    labels.loc[3, "up"] += 0.5
    extra = labels.iloc[:1].assign(id="train_999999")
    pd.concat([labels, extra]).to_csv(copy / "train_answer.csv", index=False)
    template = pd.read_csv(copy / "submission.csv")
    template.rename(columns={"up": "upp"}).to_csv(copy / "submission.csv", index=False)
    (copy / "train" / "train_000005.wav").write_bytes(b"no sound")
    said = refused(overlap, "run", "--data", copy, "--workspace", tmp_path / "w")
    assert printed_code(said) == "invalid-data"
    assert "3 problems" in said
    assert re.search(r"train_answer.csv.*submission.csv.*\bup\b.*\bupp\b", said)
    assert re.search(r"train_answer.csv.*train_000003", said)
    assert re.search(r"train_answer.csv.*train_999999", said)
    assert "train/train_000005.wav" in said
    assert not list((tmp_path / "w").glob("*.zarr"))


@pytest.mark.extended
def test_a_stage_on_its_own_is_about_the_data_and_features_that_it_is_told(
    overlap, finished, copy: Path, tiny: Path
) -> None:
    options = ("--workspace", finished.workspace, "--config", tiny)
    for stage in ("train", "pool"):
        said = refused(overlap, stage, "--data", copy, *options)
        assert "120 clips new or changed" in said
        said = refused(overlap, stage, "--data", copy, *options, "--set", "features.hop_length=80")
        assert printed_code(said) == "other-features"
    said = refused(overlap, "features", "--data", copy, *options, "--set", "features.hop_length=80")
    assert printed_code(said) == "other-features"
    assert "8 of 8" in overlap("status", "--workspace", finished.workspace).stdout


def test_stores_that_cannot_be_compared(
    overlap, finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """Every command reports the fault before it computes anything."""
    options = ("--data", data, "--workspace", tmp_path / "w", "--config", tiny)
    missing = tmp_path / "missing"
    for command in ("features", "run", "plan"):
        said = refused(overlap, command, *options, "--compare", missing)
        assert printed_code(said) == "no-features"
        assert str(missing) in said
    said = refused(overlap, "features", *options, "--compare", data)
    assert printed_code(said) == "no-features"
    other = (*options, "--compare", finished.workspace, "--set", "features.hop_length=80")
    assert printed_code(refused(overlap, "features", *other)) == "other-features"
    itself = ("--data", data, "--workspace", finished.workspace, "--config", tiny)
    said = refused(overlap, "features", *itself, "--compare", finished.workspace)
    assert printed_code(said) == "compared-with-itself"
    assert not (tmp_path / "w").exists()


@pytest.mark.extended
def test_places_to_write_to(overlap, finished, data: Path, tmp_path: Path) -> None:
    file, folder = tmp_path / "file", tmp_path / "folder"
    file.write_text("mine")
    folder.mkdir()
    said = refused(overlap, "run", "--data", data, "--workspace", file)
    assert printed_code(said) == "workspace-is-file"
    place = ("--workspace", finished.workspace)
    said = refused(overlap, "predict", data / "test", *place, "--out", folder)
    assert str(folder) in said
    (folder / "a.wav").write_bytes(b"no sound")
    said = refused(overlap, "predict", folder, *place, "--out", tmp_path / "p.csv")
    assert "unreadable" in said
    assert not (tmp_path / "p.csv").exists()


def test_predictions_and_models(overlap, finished, data: Path, tmp_path: Path) -> None:
    place = ("--workspace", finished.workspace)
    out = ("--out", tmp_path / "p.csv")
    assert "v9" in refused(overlap, "predict", data / "test", *place, *out, "--model", "v9")
    assert f"{data}/train" in refused(overlap, "predict", data, *place, *out)
    assert str(tmp_path) in refused(
        overlap, "predict", data / "test", "--workspace", tmp_path, *out
    )
    export = ("models", "export", "champion", *place)
    said = refused(overlap, *export, "--out", tmp_path / "m.h5")
    assert ".keras" in said
    assert ".onnx" in said
    assert "v9" in refused(overlap, "models", "promote", "v9", *place)
    assert str(finished.workspace) in refused(overlap, "models", "rollback", *place)
    assert not (tmp_path / "p.csv").exists()


def test_scores(overlap, data: Path, tmp_path: Path) -> None:
    answers = data / "test_answer.csv"
    assert "none.csv" in refused(overlap, "score", "--labels", answers, "none.csv")
    refused(overlap, "score", "--labels", answers, data / "train_answer.csv")  # other ids


def test_words(overlap, words: Path, data: Path, tmp_path: Path) -> None:
    mix = ("mix", "--out", tmp_path / "d", "--train", 5, "--test", 5)
    assert printed_code(refused(overlap, *mix, tmp_path / "none")) == "no-such-folder"
    message = refused(overlap, *mix, words, "--words-per-clip", 9)
    assert printed_code(message) == "too-few-words"
    full = ("mix", words, "--out", data, "--train", 5, "--test", 5)
    assert "exists and is not empty" in refused(overlap, *full)
    said = refused(overlap, "synth", "--out", tmp_path / "s", "--words", ",")
    assert printed_code(said) == "no-words"


# --- clusters ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with one CPU worker, each a process of its own; no worker offers GPU."""
    folder = tmp_path_factory.mktemp("dask")
    with scheduler(folder) as address, worker(address, folder, "cpu"):
        yield address


def test_a_cluster_that_does_not_answer(overlap, data: Path, tmp_path: Path) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    said = refused(
        overlap, "run", "--data", data, "--workspace", tmp_path / "w", "--cluster", address,
        "--set", "cluster.timeout_s=2",
    )  # fmt: skip
    assert printed_code(said) == "scheduler-unreachable"
    assert address in said


def test_a_cluster_kind_that_is_not_there(overlap, data: Path, tmp_path: Path) -> None:
    said = refused(
        overlap, "run", "--data", data, "--workspace", tmp_path / "w",
        "--set", "cluster.kind=dask_nowhere.SomeCluster",
    )  # fmt: skip
    assert printed_code(said) == "unknown-cluster-kind"
    assert "cluster.kind dask_nowhere.SomeCluster" in said


@pytest.mark.extended
def test_a_cluster_without_gpu_then_with_one(
    overlap, dask: str, copy: Path, tiny: Path, tmp_path: Path
) -> None:
    """Refused before any work; with a worker that offers GPU the run goes through."""
    soundfile.write(copy / "test" / "test_000000.wav", [[0.1, 0.2]] * 9000, 8000)
    workspace = tmp_path / "w"
    run = (
        "run", "--data", copy, "--workspace", workspace, "--config", tiny, "--members", 1,
        "--cluster", dask,
    )  # fmt: skip
    said = refused(overlap, *run, "--set", "cluster.timeout_s=5")
    assert printed_code(said) == "cluster-unfit"
    assert f'dask worker {dask} --resources "GPU=1"' in said
    assert not (workspace / "features.zarr").exists()
    with worker(dask, tmp_path, "gpu", *GPU):
        done = overlap(*run, "--set", "cluster.timeout_s=120")
    assert "ensemble of 1" in done.stdout
    assert "test/test_000000.wav" in done.stderr


def test_deployments(overlap, data: Path) -> None:
    options = ("deploy", "--data", data)
    no_server = overlap(*options, code=2, PREFECT_API_URL="http://127.0.0.1:1/api").stderr
    assert printed_code(no_server) == "server-unreachable"
    assert "http://127.0.0.1:1/api" in no_server
    wrong_time = overlap(*options, "--cron", "at night", code=2).stderr
    assert printed_code(wrong_time) == "invalid-schedule"
