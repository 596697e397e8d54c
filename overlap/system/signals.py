"""Ctrl-C and SIGTERM where and when they do no harm.

Ctrl-C belongs to the process that a person started, not to those that it started itself. A
terminal sends it to all of them: each would end in the middle of something, and say so with a
traceback. They are ended by the one that started them.
"""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from typing import Final

TRACKER_QUIET: Final = "ignore:resource_tracker:UserWarning"
"""An option of Python, as after `-W`."""


@contextmanager
def block_sigint() -> Iterator[None]:
    """Threads and processes that are started meanwhile never receive SIGINT.

    This thread does, afterwards. A thread hands this on to what it starts, for as long as it lives.
    """
    _start_tracker()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_tracker() -> None:
    """Start the process that removes what killed ones leave behind, with its warnings off.

    It would come with the first spawned process, and unblock the signal where it is started. That
    it removed something it says when its parent is gone, after the last word to the person.
    """
    sys.warnoptions.append(TRACKER_QUIET)
    try:
        resource_tracker.ensure_running()
    finally:
        sys.warnoptions.remove(TRACKER_QUIET)


@contextmanager
def defer_signals() -> Iterator[None]:
    """What is begun is completed: SIGINT and SIGTERM that come meanwhile come when it is left.

    For some seconds in which processes are started; one whose parent goes away in the middle of
    that says so with a traceback. In any other thread than the main one this does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _frame: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)
    if came:
        signal.raise_signal(came[0])
