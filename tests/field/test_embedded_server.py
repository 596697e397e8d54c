"""The embedded Prefect server fails in the middle of a run: killed, or its disk is full."""

import os
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psutil
import pytest

from support.errors import printed_code
from support.process_fixtures import TIMEOUT
from support.processes import OVERLAP, running_below, stop, until
from support.running_service import missing
from support.trials import trial

SERVER = "flows.service.embedded_process"


@pytest.fixture
def options(finished, data: Path, tiny: Path, tmp_path: Path) -> tuple[object, ...]:
    """A run that trains one member: the third of a workspace that has two."""
    workspace = shutil.copytree(finished.workspace, tmp_path / "workspace")
    return ("run", "--data", data, "--workspace", workspace, "--config", tiny, "--members", 3)


@contextmanager
def training(
    options: tuple[object, ...], environment: dict[str, str], folder: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """Start a run and wait until its member trains; its messages are in err.txt of the folder."""
    with (folder / "err.txt").open("wb") as err:
        run = subprocess.Popen(
            [OVERLAP, *map(str, options)], cwd=folder, env=environment,
            stdout=subprocess.DEVNULL, stderr=err,
        )  # fmt: skip
    try:
        until(
            lambda: run.poll() is not None or running_below(run, "overlap.training.member"), TIMEOUT
        )
        yield run
    finally:
        stop(run)


@trial(
    "D",
    "the embedded server is killed while a member trains",
    source="own",
    before="the run ends with exit code 1, and does not say how the server ended",
    now="a note at once; within 8 s exit code 1 and one sentence that names the signal; a new run "
    "completes",
)
def test_a_killed_server(
    run, options: tuple[object, ...], field_environment: dict[str, str], tmp_path: Path
) -> None:
    with training(options, field_environment, tmp_path) as started:
        (server,) = running_below(started, SERVER)
        below = psutil.Process(started.pid).children(recursive=True)
        server.kill()
        code = started.wait(TIMEOUT)
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []
    text = (tmp_path / "err.txt").read_text()
    assert (code, printed_code(text)) == (1, "server-unreachable"), text
    assert text.count("signal 9") == 2
    assert "Traceback" not in text
    done = run(*options)
    assert done.code == 0, done.err


@trial(
    "D",
    "the disk with PREFECT_HOME is full while a member trains",
    source="own",
    before="a traceback that calls it a bug in overlap",
    now="exit code 1, one sentence that quotes the server; a new run completes",
)
def test_a_full_disk(
    run, options: tuple[object, ...], field_environment: dict[str, str], tmp_path: Path
) -> None:
    if os.geteuid() != 0:
        missing("a disk of its own needs root")
    disk = tmp_path / "disk"
    disk.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(disk)]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no disk can be mounted here: {done.stderr.strip()}")
    environment = field_environment | {"PREFECT_HOME": str(disk)}
    try:
        with training(options, environment, tmp_path) as started:
            with closing(sqlite3.connect(disk / "prefect.db", timeout=60)) as database:
                # Otherwise the log of SQLite may have room for the rest of the run.
                database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            fill(disk / "rest")
            code = started.wait(TIMEOUT)
        text = (tmp_path / "err.txt").read_text()
        assert (code, printed_code(text)) == (1, "server-unreachable"), text
        assert "disk is full" in text
        assert "Traceback" not in text
        (disk / "rest").unlink()
        done = run(*options, extra={"PREFECT_HOME": str(disk)})
        assert done.code == 0, done.err
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def fill(file: Path) -> None:
    """Write a file until its disk is full."""
    with file.open("wb", buffering=0) as opened:
        for size in (1 << 20, 1 << 12, 1):
            try:
                while True:
                    opened.write(bytes(size))
            except OSError:
                continue
