"""Progress of a stage: a bar in the terminal and an artifact in Prefect.

Both are views of one `Stage`. The terminal shows bars when the command line asked for it, or a
line a minute where the output is not a terminal; the artifact is updated at most every two
seconds, because every update is a request.
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

from overlap.formatting import format_duration

ARTIFACT_SECONDS = 2.0
LINE_SECONDS = 60.0


class Terminal:
    """Where bars are shown; one per process."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._console: Console | None = None

    @contextmanager
    def shown(self, console: Console) -> Iterator[None]:
        """Show the stages that run meanwhile."""
        self._console = console
        if not console.is_terminal or console.is_dumb_terminal:  # TERM=dumb moves no cursor
            yield
            self._console = None
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
        self._bars = self._console = None

    def open(self, name: str, total: int) -> TaskID | None:
        """Start a bar."""
        return self._bars.add_task(name, total=total, note="") if self._bars else None

    def move(self, bar: TaskID | None, done: int, note: str) -> None:
        """Move a bar."""
        if self._bars and bar is not None:
            self._bars.update(bar, completed=done, note=note)

    def close(self, bar: TaskID | None, *, keep: bool) -> None:
        """End a bar; one that is not kept leaves no line behind."""
        if self._bars and bar is not None:
            self._bars.update(bar, visible=keep)
            self._bars.stop_task(bar)

    def line(self, text: str) -> None:
        """A line instead of a bar, where the output is not a terminal."""
        if self._console and not self._bars:
            self._console.print(text, highlight=False)


TERMINAL = Terminal()


def note(text: str) -> None:
    """From inside a flow or task: tell a person something that stops nothing."""
    get_run_logger().warning(text)
    TERMINAL.line(f"note: {text}")


class Stage:
    """Some work of which the amount is known.

    Attributes:
        total: The amount.
        done: How much of it is done.
    """

    def __init__(self, name: str, total: int, *, keep: bool) -> None:
        self.total, self.done = total, 0
        self._name, self._keep, self._note, self._printed = name, keep, "", ""
        self._lock = threading.Lock()
        self._bar = TERMINAL.open(name, total)
        self._artifact = _create_artifact(name)
        self._last_artifact = self._last_line = self._begun = time.monotonic()

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Say that more is done; without a note the pace is one."""
        with self._lock:
            self.done += amount
            self._note = note or (pace(self.rate()) if self.done > 0 else "")
            TERMINAL.move(self._bar, self.done, self._note)
            now = time.monotonic()
            if now - self._last_line >= LINE_SECONDS:
                self._last_line = now
                self._print()
            if now - self._last_artifact >= ARTIFACT_SECONDS:
                self._last_artifact = now
                _update_artifact(self._artifact, self.done, self.total, self._text())

    def rate(self, amount: int = 0) -> float:
        """How much is done per second, with some more that is done now."""
        return (self.done + amount) / max(time.monotonic() - self._begun, 1e-9)

    def close(self) -> None:
        """Say that no more will be done."""
        TERMINAL.close(self._bar, keep=self._keep)
        self._print()
        _update_artifact(self._artifact, self.done, self.total, self._text())

    def _print(self) -> None:
        if self._text() != self._printed:
            self._printed = self._text()
            TERMINAL.line(self._printed + self._left())

    def _left(self) -> str:
        """The time left at the pace so far, where that can be told."""
        if not 0 < self.done < self.total:
            return ""
        seconds = (self.total - self.done) / self.rate()
        return f", {format_duration(seconds)} left"

    def _text(self) -> str:
        return f"{self._name}: {self.done} of {self.total} {self._note}".rstrip()


def pace(per_second: float) -> str:
    """How fast something is done, for a person.

    Examples:
        >>> pace(12.34), pace(0.005)
        ('12.3/s', '3 min 20 s each')
    """
    return f"{per_second:,.1f}/s" if per_second >= 1 else f"{format_duration(1 / per_second)} each"


@contextmanager
def stage(name: str, total: int, *, keep: bool = True) -> Iterator[Stage]:
    """Follow some work.

    Args:
        name: What a person reads.
        total: Amount of the work.
        keep: Whether its bar stays when it is over.
    """
    current = Stage(name, total, keep=keep)
    try:
        yield current
    finally:
        current.close()


def _create_artifact(name: str) -> UUID | None:
    if TaskRunContext.get() is None:
        return None
    # Called in a thread without an event loop, where the answer is the artifact's id.
    return cast("UUID", create_progress_artifact(progress=0.0, description=name))


def _update_artifact(artifact: UUID | None, done: int, total: int, text: str) -> None:
    if artifact is not None:
        percent = 100.0 * done / total if total else 100.0
        update_progress_artifact(artifact, progress=percent, description=text)
