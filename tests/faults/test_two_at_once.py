"""Two runs on one workspace, and a run on a workspace that others read."""

import json
import platform
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from overlap.errors import WorkspaceLockedError
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.io.workspace_paths import LOCK_FILE
from support.errors import printed_code, raises
from support.process_fixtures import submission
from support.processes import OVERLAP
from support.run_steps import Finished

HOLD = """
import sys, time
from overlap.io.location import Location
from overlap.io.locks import run_lock
with run_lock(Location.of(sys.argv[1])):
    print("mine", flush=True)
    sys.stdin.read()
"""


@contextmanager
def another_run(workspace: Location) -> Iterator[subprocess.Popen[str]]:
    """A process that has its turn on a workspace until its input ends."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, str(workspace)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "mine\n"
            yield process
        finally:
            process.kill()


def test_the_second_says_who_is_there_and_leaves(workspace: Location) -> None:
    with another_run(workspace) as other:
        with raises(
            WorkspaceLockedError,
            "workspace-locked",
            workspace=str(workspace),
            process=other.pid,
            host=platform.node(),
        ):
            run_lock(workspace).__enter__()
        other.kill()
        other.wait()
        with (
            run_lock(workspace),
            run_lock(workspace),
        ):  # kill -9 gave it back; a stage is part of it
            assert json.loads((workspace / LOCK_FILE).read_bytes())["process"] != other.pid
    assert not (workspace / LOCK_FILE).exists()


def test_the_second_waits_where_it_is_told_to(workspace: Location) -> None:
    waited_for: list[str] = []
    with another_run(workspace) as other:

        def leave(who: str) -> None:
            waited_for.append(who)
            assert other.stdin is not None
            other.stdin.close()

        with run_lock(workspace, wait=True, on_wait=leave):
            assert other.wait(10) == 0
            with pytest.raises(subprocess.CalledProcessError):  # and now nobody else can have it
                subprocess.run(
                    [sys.executable, "-c", HOLD, str(workspace)], check=True, capture_output=True
                )
    (who,) = waited_for
    assert str(workspace) in who
    assert f"process {other.pid} on {platform.node()}" in who


@pytest.mark.extended
def test_many_take_turns_and_never_two_at_once(workspace: Location, tmp_path: Path) -> None:
    """Every holder removes the lock file and the next creates it: nobody holds a removed one."""
    count = tmp_path / "count"
    count.write_text("0")
    add = (
        "import sys, time\n"
        "from pathlib import Path\n"
        "from overlap.io.location import Location\n"
        "import overlap.io.locks as turns\n"
        "turns.RETRY_SECONDS = 0.001\n"
        "for _ in range(50):\n"
        "    with turns.run_lock(Location.of(sys.argv[1]), wait=True):\n"
        "        value = int(Path(sys.argv[2]).read_text())\n"
        "        time.sleep(0.001)\n"
        "        Path(sys.argv[2]).write_text(str(value + 1))\n"
    )
    command = [sys.executable, "-c", add, str(workspace), str(count)]
    for process in [subprocess.Popen(command) for _ in range(4)]:
        assert process.wait(120) == 0
    assert count.read_text() == "200"


@pytest.mark.faults
def test_two_runs_at_once(
    environment: dict[str, str], finished: Finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """One ends right; the other says that it is there, and leaves. Both read all the time."""
    workspace = tmp_path / "w"
    options = ["--data", str(data), "--workspace", str(workspace), "--config", str(tiny)]
    runs = []
    for name in ("one", "other"):
        with (tmp_path / name).open("wb") as log:
            command = [OVERLAP, "run", *options]
            runs.append(subprocess.Popen(command, env=environment, stdout=log, stderr=log))
    reads, over = [], threading.Event()

    def read() -> None:
        while not over.is_set():
            for command in ("status", "plan", "models"):
                what = [*(["list"] if command == "models" else []), "--workspace", str(workspace)]
                what += options[:2] + options[4:] if command == "plan" else []
                done = subprocess.run(
                    [OVERLAP, command, *what], env=environment, capture_output=True, text=True,
                    check=False,
                )  # fmt: skip
                reads.append((command, done.returncode, done.stderr))
            time.sleep(0.2)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        codes = [run.wait(300) for run in runs]
    finally:
        over.set()
        reader.join()
        for run in runs:
            run.kill()
    assert sorted(codes) == [0, 2]
    log = (tmp_path / ("one" if codes[0] == 2 else "other")).read_text()
    assert printed_code(log) == "workspace-locked"
    assert "Traceback" not in log
    assert submission(workspace) == finished.submission
    wrong = [
        (command, code, text) for command, code, text in reads
        # Without a catalogue, these commands have nothing to report yet.
        if code and printed_code(text) != "no-catalog"
    ]  # fmt: skip
    assert wrong == []
    assert len(reads) > 6
