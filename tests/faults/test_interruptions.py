"""SIGINT and SIGTERM on the command line: an end within seconds, nothing left, and how to go on."""

import itertools
import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil
import pytest

from overlap.errors import RESUME_HINT
from support.fault_tables import write_table
from support.process_fixtures import submission
from support.processes import OVERLAP, until
from support.run_steps import Finished
from support.trials import trial

SEED = int(os.environ.get("OVERLAP_SEED", "1"))
STOPPED = f"stopped; {RESUME_HINT}\n"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
END_SECONDS = 10.0
INTERRUPTIONS = 30


def interrupt(
    command: list[str], environment: dict[str, str], seconds: float, sent: signal.Signals,
    *, twice: bool = False,
) -> tuple[int, str, float]:  # fmt: skip
    """Start a command and send a signal to all of its group, as a terminal does.

    Returns:
        Its exit code, its output, and the seconds that it took to end.
    """
    with subprocess.Popen(
        command, env=environment, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        time.sleep(seconds)
        below = psutil.Process(process.pid).children(recursive=True)
        began = time.monotonic()
        for _ in range(2 if twice else 1):
            os.killpg(process.pid, sent)
            time.sleep(0.3)
        try:
            _, printed = process.communicate(timeout=60)
        finally:
            process.kill()
        took = time.monotonic() - began
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == [], f"processes are left: {alive}"
    return process.returncode, printed, took


def listens(process: subprocess.Popen[str]) -> bool:
    """Whether a process handles SIGTERM by now."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="utf-8")
    caught = next(line for line in status.splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc on this system")
@pytest.mark.parametrize("sent", [*CODES])
@pytest.mark.parametrize("seconds", [0.0, 0.4])
def test_a_command_that_is_still_loading_says_the_same(
    environment: dict[str, str], tmp_path: Path, sent: signal.Signals, seconds: float
) -> None:
    command = [OVERLAP, "run", "--data", str(tmp_path), "--workspace", str(tmp_path / "w")]
    with subprocess.Popen(
        command, env=environment, text=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        try:
            while not listens(process):
                time.sleep(0.005)
            time.sleep(seconds)
            process.send_signal(sent)
            _, printed = process.communicate(timeout=30)
        finally:
            process.kill()
    if process.returncode != 2:  # it was faster: there is no data
        assert (process.returncode, printed) == (CODES[sent], STOPPED)


HANGING = """
import subprocess, sys, time
from flows.cli import interruptions
interruptions.GRACE_SECONDS = 1.0
interruptions.listen()
{setup}
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
while True:
    try:
        print("ready", flush=True)
        time.sleep(600)
    except (KeyboardInterrupt, SystemExit):
        pass
"""


@pytest.mark.parametrize("sent", [*CODES])
@pytest.mark.parametrize(
    "setup",
    ["", "import signal; signal.signal(signal.SIGTERM, lambda *_: None)"],
    ids=["", "handled by another"],
)
def test_what_hangs_is_ended_with_what_it_started(
    environment: dict[str, str], sent: signal.Signals, setup: str
) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HANGING.format(setup=setup)], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            below = psutil.Process(process.pid).children()
            assert len(below) == 1
            process.send_signal(sent)
            _, printed = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, printed) == (CODES[sent], STOPPED)
    assert psutil.wait_procs(below, timeout=5)[1] == []


@pytest.mark.parametrize("sent", [*CODES])
def test_a_signal_that_comes_in_a_destructor_is_not_lost(
    environment: dict[str, str], sent: signal.Signals
) -> None:
    """Python prints what a destructor raises, and continues."""
    program = (
        "import time\n"
        "from flows.cli import interruptions\n"
        "interruptions.listen()\n"
        "class Slow:\n"
        "    def __del__(self):\n"
        "        print('ready', flush=True)\n"
        "        time.sleep(3)\n"
        "try:\n"
        "    Slow()\n"
        "    time.sleep(600)\n"
        "except BaseException:\n"
        "    interruptions.leave(interruptions.received())\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
            began = time.monotonic()
            process.send_signal(sent)
            _, printed = process.communicate(timeout=30)
        finally:
            process.kill()
    assert (process.returncode, printed) == (CODES[sent], STOPPED)
    assert time.monotonic() - began < 5  # it did not wait to be ended


def test_nor_is_one_that_prefect_handles(environment: dict[str, str]) -> None:
    """Its handler raises at once, before the thread that watches has read of it."""
    program = (
        "import os, signal, time\n"
        "from flows.cli import interruptions\n"
        "from prefect.utilities.engine import capture_sigterm\n"
        "interruptions.listen()\n"
        "class Killed:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "try:\n"
        "    with capture_sigterm():\n"
        "        Killed()\n"
        "        time.sleep(600)\n"
        "except BaseException:\n"
        "    interruptions.leave(interruptions.received())\n"
    )
    began = time.monotonic()
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (CODES[signal.SIGTERM], STOPPED)
    assert time.monotonic() - began < 7  # it did not wait to be ended


def test_a_signal_that_comes_again_at_the_end_changes_nothing(
    environment: dict[str, str],
) -> None:
    program = (
        "import atexit, os, signal, time\n"
        "from flows.cli import interruptions\n"
        "interruptions.listen()\n"
        "class Last:\n"
        "    def __del__(self):\n"
        "        os.kill(os.getpid(), signal.SIGTERM)\n"
        "kept = Last()\n"  # is gone when the interpreter is
        "try:\n"
        "    os.kill(os.getpid(), signal.SIGTERM)\n"
        "    time.sleep(600)\n"
        "except BaseException:\n"
        "    interruptions.leave(interruptions.received())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True,
        check=False, timeout=30,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (CODES[signal.SIGTERM], STOPPED)


def test_a_signal_of_a_child_is_its_own(environment: dict[str, str]) -> None:
    """A forked child that is ended tells its parent nothing."""
    program = (
        "import multiprocessing, time\n"
        "from flows.cli import interruptions\n"
        "interruptions.GRACE_SECONDS = 0.5\n"
        "interruptions.listen()\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "child.start()\n"
        "time.sleep(0.5)\n"
        "child.terminate()\n"
        "child.join()\n"
        "time.sleep(1.5)\n"
        "print(child.exitcode, interruptions.received())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout == "-15 None\n"


@pytest.mark.extended
@pytest.mark.parametrize("sent", [*CODES])
def test_mixing_ends_with_its_processes(
    words: Path, environment: dict[str, str], tmp_path: Path, sent: signal.Signals
) -> None:
    """Ctrl-C reaches the processes of a pool too, wherever they are."""
    out = tmp_path / "mixed"
    command = [OVERLAP, "mix", str(words), "--out", str(out), "--train", "200000", "--test", "9"]
    command += ["--words-per-clip", "2", "--test-speakers", "0.2"]
    code, printed, took = interrupt(command, environment, 6, sent)
    assert (code, printed) == (CODES[sent], STOPPED)
    assert took < END_SECONDS
    assert list(tmp_path.iterdir()) == []


@trial(
    "R",
    "Ctrl-C during `overlap mix` on a machine that gives its processes no time",
    "own",
    "Their jobs are awaited; after seven seconds they are killed, and `.mixed.*.part` stays: "
    "gigabytes of a large set.",
    "The writers are killed at once, and the unfinished folder is removed.",
)
@pytest.mark.skipif(sys.platform != "linux", reason="finds the writers in /proc")
def test_writers_that_get_no_time_leave_no_folder(
    words: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    out = tmp_path / "mixed"
    command = [OVERLAP, "mix", str(words), "--out", str(out), "--train", "200000", "--test", "9"]
    command += ["--words-per-clip", "2", "--test-speakers", "0.2"]
    with subprocess.Popen(
        command, env=environment, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        try:
            until(lambda: any(tmp_path.glob(".mixed.*.part/train/*.wav")), 60)
            writers = [
                child
                for child in psutil.Process(process.pid).children()
                if "resource_tracker" not in " ".join(child.cmdline())
            ]
            assert writers
            for writer in writers:
                writer.suspend()
            began = time.monotonic()
            process.send_signal(signal.SIGINT)
            _, printed = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, printed) == (CODES[signal.SIGINT], STOPPED)
    assert time.monotonic() - began < END_SECONDS
    assert psutil.wait_procs(writers, timeout=5)[1] == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
def test_a_run_interrupted_anywhere_goes_on(
    environment: dict[str, str], finished: Finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """Thirty times, by either signal, once or twice; then the submission of an undisturbed run."""
    draw, rows = random.Random(SEED), []
    workspaces = (tmp_path / f"w{number}" for number in itertools.count())
    while len(rows) < INTERRUPTIONS:
        workspace = next(workspaces)
        command = [OVERLAP, "run", "--data", str(data), "--workspace", str(workspace)]
        command += ["--config", str(tiny)]
        for _ in range(3):
            sent, seconds, twice = draw.choice([*CODES]), draw.uniform(2, 16), draw.random() < 0.5
            code, printed, took = interrupt(command, environment, seconds, sent, twice=twice)
            if code == 0:  # it was faster
                break
            assert code == CODES[sent], printed
            assert printed.endswith(STOPPED), printed
            assert "Traceback" not in printed, printed
            assert took < END_SECONDS
            rows.append((sent.name, twice, took))
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert submission(workspace) == finished.submission
        _write(rows)


def _write(rows: list[tuple[str, bool, float]]) -> None:
    kinds = defaultdict(list)
    for name, twice, took in rows:
        kinds[name, "twice" if twice else "once"].append(took)
    write_table(
        "interruptions", ("signal", "sent", "times", "longest until the end, s", "lost", "left"),
        [(*kind, len(ends), f"{max(ends):.1f}", 0, 0) for kind, ends in sorted(kinds.items())],
    )  # fmt: skip
