"""Protection of processes and critical sections from SIGINT and SIGTERM.

A terminal sends Ctrl-C to all processes of a command. Only the first one may act on it, and it
ends the processes that it started; each of them would otherwise stop in the middle of its work with
a traceback.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final

TRACKER_QUIET: Final = "ignore:resource_tracker:UserWarning"
"""Python option, as after `-W`, that silences the resource tracker."""


@contextmanager
def block_sigint() -> Iterator[None]:
    """Block SIGINT in the threads and processes that are started within the block.

    This thread receives it again after the block. A thread that is started within it passes the
    block on to everything that it starts, for as long as it lives.
    """
    _start_tracker()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start the process that cleans up after killed processes, with its warnings off.

    It would start with the first spawned process, and starting it unblocks the signal. It would
    print its warnings after the end of its parent, below the command's last line.
    """
    sys.warnoptions.append(TRACKER_QUIET)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(TRACKER_QUIET)


@contextmanager
def defer_signals() -> Iterator[None]:
    """Complete the block before SIGINT and SIGTERM take effect; the first one is raised after it.

    For the seconds in which processes are started: a process whose parent disappears then ends
    with a traceback. Outside the main thread this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    received: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: received.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if received:
        signal.raise_signal(received[0])
