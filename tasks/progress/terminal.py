"""The terminal output of stages: bars, or lines where the output is not a terminal."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
)
from rich.text import Text

from overlap.io.formatting import format_duration
from tasks.progress.pace import Pace

QUIET_SECONDS = 4.0
"""Time without a result after which the user reads what the command waits for."""


class _TimeColumn(ProgressColumn):
    """The time since a stage's clock started, and the remaining time, where they are known."""

    max_refresh = 0.5

    def render(self, task: Task) -> Text:
        """Return the cell of a stage."""
        pace: Pace = task.fields["pace"]
        if task.fields["closed"]:
            seconds, left = task.fields["seconds"], None
        else:
            seconds, left = pace.seconds, pace.left
        cells = [] if seconds is None else [format_duration(seconds)]
        if left is not None:
            cells.append(f"{format_duration(left)} left")
        return Text(", ".join(cells), style="progress.elapsed")


class Terminal:
    """The terminal output of stages; one per process."""

    def __init__(self) -> None:
        self._bars: Progress | None = None
        self._console: Console | None = None
        self._last_line = time.monotonic()

    @contextmanager
    def shown(self, console: Console) -> Iterator[None]:
        """Show the stages that run within the block, however it ends."""
        before = self._bars, self._console
        self._bars, self._console = None, console
        self._last_line = time.monotonic()
        try:
            if not console.is_terminal or console.is_dumb_terminal:  # TERM=dumb moves no cursor
                yield
                return
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[note]}"),
                _TimeColumn(),
            )
            with Progress(*columns, console=console) as self._bars:
                yield
        finally:
            self._bars, self._console = before

    @property
    def silent_for(self) -> float:
        """Seconds since the last line, or the start of the output."""
        return time.monotonic() - self._last_line

    def open(self, name: str, pace: Pace, note: str) -> TaskID | None:
        """Start a bar."""
        if self._bars is None:
            return None
        return self._bars.add_task(
            name, total=pace.total, note=note, pace=pace, closed=False, seconds=None
        )

    def move(self, bar: TaskID | None, done: int, note: str) -> None:
        """Move a bar."""
        if self._bars and bar is not None:
            self._bars.update(bar, completed=done, note=note)

    def close(self, bar: TaskID | None, *, keep: bool, seconds: float | None) -> None:
        """End a bar; unless it is kept, its line disappears."""
        if self._bars and bar is not None:
            self._bars.update(bar, visible=keep, closed=True, seconds=seconds)
            self._bars.stop_task(bar)

    def line(self, text: str) -> None:
        """Print a line in place of a bar, where the output is not a terminal."""
        if self._console and not self._bars:
            self._print(text)

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Print what the command waits for if the block takes longer than `QUIET_SECONDS`."""
        if self._console is None:
            yield
            return
        timer = threading.Timer(QUIET_SECONDS, self.note, (f"waiting for {what}",))
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def note(self, text: str) -> None:
        """Print a note for the user, above the bars where there are any."""
        self._print(f"note: {text}")

    def _print(self, text: str) -> None:
        """Print a line of any length: a line of a log is found and read as a whole."""
        console = self._console
        if console:
            self._last_line = time.monotonic()
            console.print(text, highlight=False, soft_wrap=True)


TERMINAL = Terminal()
