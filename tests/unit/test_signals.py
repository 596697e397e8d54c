"""Deferred and blocked signals."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from overlap.system.signals import block_sigint, defer_signals


class Received(Exception):  # noqa: N818  a signal of the test
    """The handler ran."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest):
    """A signal whose handler raises `Received`."""

    def handler(_number: int, _frame: object) -> None:
        raise Received

    before = signal.signal(request.param, handler)
    yield request.param
    signal.signal(request.param, before)


def test_the_block_is_completed_before_the_signal(number: int) -> None:
    done = []

    def work() -> None:
        with defer_signals():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            done.append(True)

    with pytest.raises(Received):
        work()
    assert done == [True]
    with pytest.raises(Received):  # the handler is restored
        signal.raise_signal(number)


def test_without_a_signal_nothing_happens(number: int) -> None:
    with defer_signals():
        pass
    assert signal.getsignal(number) is not signal.SIG_DFL


def test_an_error_of_the_block_passes(number: int) -> None:
    with pytest.raises(KeyError), defer_signals():
        raise KeyError


def test_in_another_thread_nothing_changes(number: int) -> None:
    before = signal.getsignal(number)
    found = []

    def look() -> None:
        with defer_signals():
            found.append(signal.getsignal(number))

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    assert found == [before]


SPAWNED = """
import multiprocessing, os, signal, threading
from overlap.system.signals import block_sigint

def hit():
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGINT)
    os._exit(7)

def start():
    child = multiprocessing.get_context("spawn").Process(target=hit)
    child.start()
    child.join()
    print(child.exitcode)

if __name__ == "__main__":
    with block_sigint():
        thread = threading.Thread(target=start)
        thread.start()
    thread.join()
"""


def test_processes_spawned_by_a_thread_of_the_block_are_blocked(tmp_path: Path) -> None:
    """In a new process, which has not spawned anything yet."""
    program = tmp_path / "spawned.py"
    program.write_text(SPAWNED)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_a_process_started_in_the_block_never_receives_ctrl_c() -> None:
    program = (
        "import os, signal\n"
        "signal.signal(signal.SIGINT, signal.SIG_DFL)\n"  # a shell's background ignores it
        "os.kill(os.getpid(), signal.SIGINT)\n"
        "print('here')\n"
    )
    with block_sigint():
        held = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    free = subprocess.run([sys.executable, "-c", program], capture_output=True, check=False)
    assert held.stdout == b"here\n"
    assert free.stdout == b""


LEFT = """
import multiprocessing, os, sys
from overlap.system.signals import block_sigint

with block_sigint():
    pass
kept = multiprocessing.get_context("spawn").Lock()
print(kept._semlock.name, *sys.warnoptions, flush=True)
os._exit(3)
"""


def test_the_remains_of_a_killed_process_are_removed_silently() -> None:
    """A warning would appear below the last line of an interrupted command."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=False)
    name, *options = done.stdout.split()
    assert (done.returncode, done.stderr, options) == (3, "", [])
    assert not (Path("/dev/shm") / f"sem.{name.lstrip('/')}").exists()
