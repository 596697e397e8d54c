"""Ctrl-C and SIGTERM on the command line: an end in bounded time, with no process left.

The first signal unwinds the work: servers, clusters and processes are ended by the blocks that
started them; further ones are the same wish. Whatever hangs in that, here or on a network, a thread
ends after `GRACE_SECONDS`. It learns of signals by Python's wake-up file, which is written whoever
handles them: Prefect handles SIGTERM while a flow runs.
"""

import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from types import FrameType
from typing import Final, NoReturn

from overlap.errors import RESUME_HINT

GRACE_SECONDS: Final = 7.0
"""For an orderly end, after the first signal."""
AGAIN_SECONDS: Final = 0.05
"""Until a signal comes again that was lost."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
STOPPED: Final = f"stopped; {RESUME_HINT}\n"
Hook = Callable[["sys.UnraisableHookArgs"], object]


class _Stop:
    """The wish to stop: the first signal that came, and whether the last word was said."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.unwinding = False
        self._last_word = threading.Lock()

    def says_last_word(self) -> bool:
        """Whether the caller is the first to say it."""
        return self._last_word.acquire(blocking=False)


_stop = _Stop()


def listen() -> None:
    """From now on signals of this process are those of a person who wants it to end."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)
    sys.unraisablehook = _swallowed
    threading.Thread(target=_watch, args=(reader,), name="interruptions", daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _unwind)


def received() -> int | None:
    """The first signal that came; None: none did."""
    return _stop.number


def leave(number: int) -> NoReturn:
    """Say how to go on, and end as a process does that a signal ended."""
    for again in SIGNALS:  # Python puts its handlers away before the process is gone
        signal.signal(again, signal.SIG_IGN)
    if _stop.says_last_word():
        sys.stderr.write(STOPPED)
    sys.exit(128 + number)


def _unwind(number: int, _frame: FrameType | None) -> None:
    if _stop.unwinding:
        return
    _stop.unwinding = True
    _stop.number = _stop.number or number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(128 + number)


def _swallowed(lost: "sys.UnraisableHookArgs", hook: Hook = sys.unraisablehook) -> None:
    """What came where nothing can be raised, in a destructor for instance, comes again."""
    number = _stop.number or _raised_by(lost.exc_value)
    if number is None or isinstance(lost.exc_value, Exception):
        hook(lost)
        return
    _stop.unwinding = False
    again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _raised_by(error: BaseException | None) -> int | None:
    """The signal whose handler raised it; it may be here before `_watch` knows."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    return getattr(error, "signal", None)  # Prefect's TerminationSignal


def _forget() -> None:
    """In a child that was forked: its signals are its own."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _watch(reader: int) -> None:
    """Wait for the first signal; end the process when its time is over."""
    number = None
    while number is None:
        number = next((byte for byte in os.read(reader, 64) if byte in SIGNALS), None)
    _stop.number = _stop.number or number
    select.select([], [], [], GRACE_SECONDS)
    _end(_stop.number)


def _end(number: int) -> NoReturn:
    """Kill everything below this process, and leave."""
    import psutil

    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            process.kill()
    if _stop.says_last_word():
        os.write(2, STOPPED.encode())
    os._exit(128 + number)
