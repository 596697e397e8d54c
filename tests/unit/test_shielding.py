"""Signals that are held back, and come when it is time."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from overlap.system.signals import block_sigint, defer_signals


class Came(Exception):  # noqa: N818  it is the test's signal
    """The handler ran."""


@pytest.fixture(params=[signal.SIGINT, signal.SIGTERM])
def number(request: pytest.FixtureRequest):
    """A signal whose handler raises `Came`."""

    def handler(_number: int, _frame: object) -> None:
        raise Came

    before = signal.signal(request.param, handler)
    yield request.param
    signal.signal(request.param, before)


def test_what_is_begun_is_completed(number: int) -> None:
    done = []

    def work() -> None:
        with defer_signals():
            os.kill(os.getpid(), number)
            os.kill(os.getpid(), number)
            time.sleep(0.05)
            done.append(True)

    with pytest.raises(Came):
        work()
    assert done == [True]
    with pytest.raises(Came):  # as before
        signal.raise_signal(number)


def test_without_a_signal_nothing_comes(number: int) -> None:
    with defer_signals():
        pass
    assert signal.getsignal(number) is not signal.SIG_DFL


def test_an_error_of_the_block_is_its_own(number: int) -> None:
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


def test_a_thread_started_meanwhile_spawns_such_processes(tmp_path: Path) -> None:
    """In a fresh process, where nothing was spawned yet."""
    program = tmp_path / "spawned.py"
    program.write_text(SPAWNED)
    done = subprocess.run([sys.executable, program], capture_output=True, text=True, check=True)
    assert done.stdout == "7\n"


def test_a_process_started_meanwhile_never_receives_ctrl_c() -> None:
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


def test_what_a_killed_process_leaves_is_removed_without_a_word() -> None:
    """The word came after the last line of a command that was stopped."""
    done = subprocess.run([sys.executable, "-c", LEFT], capture_output=True, text=True, check=False)
    name, *options = done.stdout.split()
    assert (done.returncode, done.stderr, options) == (3, "", [])
    assert not (Path("/dev/shm") / f"sem.{name.lstrip('/')}").exists()
