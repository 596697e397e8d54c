"""Commands that need no Prefect server start none: a run with nothing to do, a small prediction."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from overlap.catalog import list_data
from overlap.config import RunConfig
from overlap.config.loading import configure
from overlap.errors import WorkspaceLockedError
from overlap.io.location import Location
from overlap.promotion.champion import champion
from overlap.workspace.runs import read_runs
from overlap.workspace.unchanged import unchanged_result
from overlap.workspace.workspace import Workspace
from support.process_fixtures import TIMEOUT
from support.processes import OVERLAP, running_below, stop, until

pytestmark = pytest.mark.extended


@pytest.fixture
def copy(finished, tmp_path: Path) -> Path:
    """A copy of the finished workspace that a test may change."""
    return Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))


@pytest.fixture
def alone(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without a Prefect server, with a home of its own."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    home = tmp_path / "prefect"
    home.mkdir()
    return kept | {"PREFECT_HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture
def config(copy: Path, data: Path, tiny: Path) -> RunConfig:
    """The configuration of the finished run."""
    return configure({"data": str(data), "workspace": str(copy)}, tiny)


def called(environment: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command, which must succeed, in a folder without settings of Prefect."""
    done = subprocess.run(
        [OVERLAP, *map(str, arguments)], env=environment, cwd=Path(environment["PREFECT_HOME"]),
        capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done


def files_of(folder: Path) -> dict[str, int]:
    """Times of change of the files below a folder, apart from the records of runs."""
    return {
        str(file.relative_to(folder)): file.stat().st_mtime_ns
        for file in folder.rglob("*")
        if file.is_file() and "runs" not in file.parts
    }


def test_a_run_with_nothing_to_do(
    alone: dict[str, str], copy: Path, data: Path, tiny: Path, finished, tmp_path: Path
) -> None:
    before, runs = files_of(copy), read_runs(Location.of(copy))
    done = called(alone, "run", "--data", data, "--workspace", copy, "--config", tiny)
    assert not (tmp_path / "prefect" / "prefect.db").exists()
    assert {n: t for n, t in files_of(copy).items() if not n.endswith(".lock")} == {
        n: t for n, t in before.items() if not n.endswith(".lock")
    }
    ended = str(copy).join(finished.printed.split(str(finished.workspace))).splitlines()
    told = done.stdout.splitlines()
    different = [pair for pair in zip(told, ended, strict=True) if pair[0] != pair[1]]
    assert [line.split(":")[0] for line, _ in different] == ["champion        unchanged"]
    (record, *others) = read_runs(Location.of(copy))
    assert tuple(others) == runs
    assert (record.kind, record.outcome, record.promoted) == ("retrain", "completed", False)
    assert record.version == champion(Location.of(copy))


def test_a_run_with_a_change_starts_a_flow(config: RunConfig, copy: Path) -> None:
    listing = list_data(config.data)
    result = unchanged_result(config, listing)
    assert result
    assert (result.ensemble.version, result.promotion.promoted) == (
        champion(Location.of(copy)), False,
    )  # fmt: skip
    assert len(result.drift) == 4

    def changed(section: str, **values: object) -> RunConfig:
        part = getattr(config, section).model_copy(update=values)
        return config.model_copy(update={section: part})

    for other in (
        changed("ensemble", members=3),
        changed("training", epochs=4),
        changed("promotion", keep_versions=1),
        changed("tracking", mlflow=True),
    ):
        assert unchanged_result(other, listing) is None
    with Workspace.of(str(copy)).lock():
        assert unchanged_result(config, listing)  # reentrant within a run


@pytest.mark.parametrize(
    "damage",
    [
        lambda copy: next(copy.glob("ensembles/*/report.html")).unlink(),
        lambda copy: (copy / "champion.json").unlink(),
        lambda copy: shutil.rmtree(next(copy.glob("members/*"))),
    ],
    ids=["report", "champion", "member"],
)
def test_a_run_with_something_lost_starts_a_flow(
    config: RunConfig, copy: Path, damage: Callable[[Path], None]
) -> None:
    damage(copy)
    assert unchanged_result(config, list_data(config.data)) is None


def test_another_run_is_respected(config: RunConfig, copy: Path, alone: dict[str, str]) -> None:
    script = (
        "import sys, time; from overlap.workspace.workspace import Workspace\n"
        "with Workspace.of(sys.argv[1]).lock():\n    print('locked', flush=True); time.sleep(600)"
    )
    command = [sys.executable, "-c", script, str(copy)]
    with subprocess.Popen(command, env=alone, stdout=subprocess.PIPE, text=True) as other:
        try:
            assert other.stdout
            assert other.stdout.readline().strip() == "locked"
            with pytest.raises(WorkspaceLockedError):
                unchanged_result(config, list_data(config.data))
        finally:
            stop(other)


def test_a_prediction(
    alone: dict[str, str], overlap, copy: Path, data: Path, tmp_path: Path
) -> None:
    options = (data / "test", "--workspace", copy, "--out")
    shutil.rmtree(copy / "predictions", ignore_errors=True)
    first = called(alone, "predict", *options, tmp_path / "here.csv")
    assert "20 clips predicted, in" in first.stdout
    again = called(alone, "predict", *options, tmp_path / "again.csv")
    assert "20 clips predicted, 20 of them by an earlier run" in again.stdout
    assert not (tmp_path / "prefect" / "prefect.db").exists()
    shutil.rmtree(copy / "predictions")
    overlap("predict", *options, tmp_path / "flow.csv")
    tables = [(tmp_path / f"{name}.csv").read_bytes() for name in ("here", "again", "flow")]
    assert tables[0] == tables[1] == tables[2]


def test_a_prediction_ends_with_its_process(
    alone: dict[str, str], copy: Path, data: Path, tmp_path: Path
) -> None:
    shutil.rmtree(copy / "predictions", ignore_errors=True)
    arguments = ["predict", data / "test", "--workspace", copy, "--out", tmp_path / "x.csv"]
    command = subprocess.Popen(
        [OVERLAP, *map(str, arguments)], env=alone, cwd=tmp_path, stderr=subprocess.PIPE, text=True
    )
    try:
        worker = "overlap.prediction.worker"
        until(lambda: command.poll() is not None or running_below(command, worker), TIMEOUT)
        assert command.poll() is None
        below = psutil.Process(command.pid).children(recursive=True)
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=30)
    finally:
        stop(command)
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    assert command.returncode == 130
    assert "Traceback" not in err
    called(alone, *arguments)
