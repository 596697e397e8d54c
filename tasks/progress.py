"""Progress of a stage: a bar in the terminal and an artifact in Prefect.

Both display one `Stage`. The command line enables the terminal output: bars, or one line per
minute where the output is not a terminal. The artifact is updated at most every two seconds,
because every update is a request to the server.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast
from uuid import UUID

from prefect import get_run_logger
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.context import TaskRunContext
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from overlap.io.formatting import format_duration
from overlap.workspace.runs import current_run

ARTIFACT_SECONDS = 2.0
LINE_SECONDS = 60.0
QUIET_SECONDS = 4.0
"""Time without a result after which the user reads what the command waits for."""


class Terminal:
    """The terminal output of stages; one per process."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._console: Console | None = None

    @contextmanager
    def shown(self, console: Console) -> Iterator[None]:
        """Show the stages that run within the block, however it ends."""
        before = self._bars, self._console
        self._bars, self._console = None, console
        try:
            if not console.is_terminal or console.is_dumb_terminal:  # TERM=dumb moves no cursor
                yield
                return
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                TimeElapsedColumn(),
                TimeRemainingColumn(),
            )
            with Progress(*columns, console=console) as self._bars:
                yield
        finally:
            self._bars, self._console = before

    def open(self, name: str, total: int) -> TaskID | None:
        """Start a bar."""
        return self._bars.add_task(name, total=total, note="") if self._bars else None

    def move(self, bar: TaskID | None, done: int, note: str) -> None:
        """Move a bar."""
        if self._bars and bar is not None:
            self._bars.update(bar, completed=done, note=note)

    def close(self, bar: TaskID | None, *, keep: bool) -> None:
        """End a bar; unless it is kept, its line disappears."""
        if self._bars and bar is not None:
            self._bars.update(bar, visible=keep)
            self._bars.stop_task(bar)

    def line(self, text: str) -> None:
        """Print a line in place of a bar, where the output is not a terminal."""
        if self._console and not self._bars:
            self._console.print(text, highlight=False)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Print what the command waits for if the block takes longer than `QUIET_SECONDS`."""
        console = self._console
        if console is None:
            yield
            return
        text = f"note: waiting for {what}"
        timer = threading.Timer(QUIET_SECONDS, console.print, (text,), {"highlight": False})
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def note(self, text: str) -> None:
        """Print a note for the user, above the bars where there are any."""
        if self._console:
            self._console.print(f"note: {text}", highlight=False)


TERMINAL = Terminal()


def note(text: str) -> None:
    """Within a flow or task: warn the user in the log and the terminal."""
    get_run_logger().warning(text)
    TERMINAL.note(text)


class Stage:
    """Work of a known amount.

    Attributes:
        total: The amount.
        done: The part that is done.
    """

    def __init__(self, name: str, total: int, *, keep: bool) -> None:
        self.total, self.done = total, 0
        self._name, self._keep, self._note, self._printed = name, keep, "", ""
        self._lock = threading.Lock()
        self._bar = TERMINAL.open(name, total)
        self._artifact = _create_artifact(name)
        self._recorded = current_run().stage(name, total) if keep else None
        self._last_artifact = self._last_line = self._begun = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Report that more is done; the default note is the pace."""
        with self._lock:
            self.done += amount
            self._note = note or (pace(self.rate()) if self.done > 0 else "")
            TERMINAL.move(self._bar, self.done, self._note)
            if self._recorded:
                self._recorded.move(self.done)
            now = time.monotonic()
            if now - self._last_line >= LINE_SECONDS:
                self._last_line = now
                self._print()
            if now - self._last_artifact >= ARTIFACT_SECONDS:
                self._last_artifact = now
                _update_artifact(self._artifact, self.done, self.total, self._text())

    def rate(self, amount: int = 0) -> float:
        """Return the amount done per second, including `amount` that is not reported yet."""
        return (self.done + amount) / max(time.monotonic() - self._begun, 1e-9)

    def close(self) -> None:
        """Report that the stage has ended."""
        TERMINAL.close(self._bar, keep=self._keep)
        if self._recorded:
            self._recorded.close()
        self._print()
        _update_artifact(self._artifact, self.done, self.total, self._text())

    def _print(self) -> None:
        if self._text() != self._printed:
            self._printed = self._text()
            TERMINAL.line(self._printed + self._left())

    def _left(self) -> str:
        """The remaining time at the pace so far; empty where it is unknown."""
        if not 0 < self.done < self.total:
            return ""
        seconds = (self.total - self.done) / self.rate()
        return f", {format_duration(seconds)} left"

    def _text(self) -> str:
        return f"{self._name}: {self.done} of {self.total} {self._note}".rstrip()


def pace(per_second: float) -> str:
    """Format a speed for reading.

    Examples:
        >>> pace(12.34), pace(0.005)
        ('12.3/s', '3 min 20 s each')
    """
    return f"{per_second:,.1f}/s" if per_second >= 1 else f"{format_duration(1 / per_second)} each"


@contextmanager
def stage(name: str, total: int, *, keep: bool = True) -> Iterator[Stage]:
    """Show the progress of work.

    Args:
        name: Label of the work.
        total: Amount of the work.
        keep: Whether the bar remains after the end.
    """
    current = Stage(name, total, keep=keep)
    try:
        yield current
    finally:
        current.close()


def _create_artifact(name: str) -> UUID | None:
    if TaskRunContext.get() is None:
        return None
    # In a thread without an event loop the result is the artifact's id, not a coroutine.
    return cast("UUID", create_progress_artifact(progress=0.0, description=name))


def _update_artifact(artifact: UUID | None, done: int, total: int, text: str) -> None:
    if artifact is not None:
        percent = 100.0 * done / total if total else 100.0
        update_progress_artifact(artifact, progress=percent, description=text)
