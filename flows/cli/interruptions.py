"""Ctrl-C and SIGTERM on the command line: termination in bounded time, without orphaned processes.

A command that finds in another thread that it cannot go on ends in the same way (`fail`).

The first signal unwinds the work: the blocks that started servers, clusters and processes end
them. Later signals are ignored. If the unwinding hangs, a thread ends the process after
`GRACE_SECONDS`. The thread learns of signals from Python's wake-up file, which is written even
while Prefect's own handler for SIGTERM is installed.
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
"""Time for an orderly shutdown after the first signal."""
WAIT_SECONDS: Final = 1.0
"""Time for killed processes to end."""
AGAIN_SECONDS: Final = 0.05
"""Delay before a lost signal is sent again."""
SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)
FAILED_CODE: Final = 1
STOPPED: Final = f"stopped; {RESUME_HINT}\n"
"""Final message after a signal, unless the command has its own."""
TRACKER: Final = "multiprocessing.resource_tracker"
"""A process that ends with this one, and removes what the killed ones have left. Without it, the
threads that still run here would start another, which complains about all that it has not seen."""
Hook = Callable[["sys.UnraisableHookArgs"], object]


class _Stop:
    """State of the termination: the first signal, and whether the final message was printed."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.failure: str | None = None
        """Why the command cannot go on; None: a signal from outside ends it."""
        self.unwinding = False
        self.message = STOPPED
        """Final message after a signal from outside."""
        self._final_message = threading.Lock()

    def claims_final_message(self) -> bool:
        """Return whether the caller is the first to print the final message."""
        return self._final_message.acquire(blocking=False)

    def result(self, number: int) -> tuple[str, int]:
        """Return the final message and the exit code after a signal."""
        if self.failure is not None:
            return f"failed: {self.failure}\n", FAILED_CODE
        return self.message, exit_code(number)


_stop = _Stop()


def exit_code(number: int) -> int:
    """Return the exit code of a process that a signal ended, as shells report it."""
    return 128 + number


def listen() -> None:
    """Handle SIGINT and SIGTERM of this process from now on."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    os.register_at_fork(after_in_child=_forget)
    sys.unraisablehook = _swallowed
    threading.Thread(target=_watch, args=(reader,), name="interruptions", daemon=True).start()
    for number in SIGNALS:
        signal.signal(number, _unwind)


def received() -> int | None:
    """Return the first signal that was received; None: none."""
    return _stop.number


def fail(message: str) -> None:
    """End the command with exit code 1 and a last message, from any thread.

    The main thread may wait for minutes for what is gone. A signal of this process to itself ends
    the wait, and bounds the time that the unwinding takes. After another signal, nothing happens.
    """
    if _stop.number is not None:
        return
    _stop.failure = message
    os.kill(os.getpid(), signal.SIGINT)


def set_final_message(message: str) -> None:
    """Replace the final message, which tells how to resume, in a command that is not a run.

    Args:
        message: One line.
    """
    _stop.message = f"{message}\n"


def leave(number: int) -> NoReturn:
    """Print the final message, and exit with the code of a process that a signal ended."""
    for again in SIGNALS:  # Python removes its handlers before the process ends
        signal.signal(again, signal.SIG_IGN)
    message, code = _stop.result(number)
    if _stop.claims_final_message():
        sys.stderr.write(message)
    sys.exit(code)


def _unwind(number: int, _frame: FrameType | None) -> None:
    if _stop.unwinding:
        return
    _stop.unwinding = True
    _stop.number = _stop.number or number
    if number == signal.SIGINT:
        raise KeyboardInterrupt
    sys.exit(exit_code(number))


def _swallowed(lost: "sys.UnraisableHookArgs", hook: Hook = sys.unraisablehook) -> None:
    """Send a signal again that arrived where nothing can be raised, as in a destructor."""
    number = _stop.number or _raised_by(lost.exc_value)
    if number is None or isinstance(lost.exc_value, Exception):
        hook(lost)
        return
    _stop.unwinding = False
    again = threading.Timer(AGAIN_SECONDS, os.kill, (os.getpid(), number))
    again.daemon = True
    again.start()


def _raised_by(error: BaseException | None) -> int | None:
    """Return the signal whose handler raised an error; `_watch` may not know it yet."""
    if isinstance(error, KeyboardInterrupt):
        return signal.SIGINT
    return getattr(error, "signal", None)  # Prefect's TerminationSignal


def _forget() -> None:
    """Restore the default signal handling in a forked child."""
    signal.set_wakeup_fd(-1)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_DFL)


def _watch(reader: int) -> None:
    """Wait for the first signal; end the process after the grace period."""
    number = None
    while number is None:
        number = next((byte for byte in os.read(reader, 64) if byte in SIGNALS), None)
    _stop.number = _stop.number or number
    select.select([], [], [], GRACE_SECONDS)
    _end(_stop.number)


def _end(number: int) -> NoReturn:
    """Kill all descendants of this process, remove what they were writing, and exit."""
    import psutil

    from overlap.io.atomic import remove_unfinished

    killed = []
    for process in psutil.Process().children(recursive=True):
        with suppress(psutil.Error):
            if not any(TRACKER in word for word in process.cmdline()):
                process.kill()
                killed.append(process)
    psutil.wait_procs(killed, timeout=WAIT_SECONDS)  # a process still writes until it has ended
    remove_unfinished()
    message, code = _stop.result(number)
    if _stop.claims_final_message():
        os.write(2, message.encode())
    os._exit(code)
