"""Progress of a stage: a bar in the terminal and an artifact in Prefect.

Both display one `Stage`. The command line enables the terminal output: bars, or a line every half
minute where the output is not a terminal. The artifact is updated at most every two seconds,
because every update is a request to the server, and its copy on the page of the run that the user
started every ten.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import cast
from uuid import UUID

from prefect.artifacts import create_progress_artifact
from prefect.context import TaskRunContext

from overlap.io.formatting import format_duration, format_rate
from overlap.workspace.runs import current_run
from tasks.progress.artifact import ArtifactUpdates, ProgressArtifact
from tasks.progress.followed_run import copied_to_parent, followed_run, parent_run
from tasks.progress.pace import Pace
from tasks.progress.terminal import TERMINAL

ARTIFACT_SECONDS = 2.0
COPY_SECONDS = 10.0
LINE_SECONDS = 30.0


class Stage:
    """Work of a known amount.

    Attributes:
        total: The amount.
        done: The part that is done.
    """

    def __init__(self, name: str, total: int, *, unit: str, keep: bool, waits_for: str) -> None:
        self.total = total
        self._name, self._unit, self._keep, self._printed = name, unit, keep, ""
        self._note = f"waits for {waits_for}" if waits_for else ""
        self._pace, self._lock = Pace(total), threading.Lock()
        self._bar = TERMINAL.open(name, self._pace, self._note)
        made = ((_create_artifact(name), ARTIFACT_SECONDS), (_create_copy(name), COPY_SECONDS))
        self._artifacts = ArtifactUpdates(
            [ProgressArtifact(artifact, every) for artifact, every in made if artifact]
        )
        self._parent, self._last_line = parent_run(), time.monotonic()
        self._recorded = current_run().stage(name, total) if keep else None

    @property
    def done(self) -> int:
        """The part that is done."""
        return self._pace.done

    def start(self) -> None:
        """Start the clock, unless it runs: the work begins now, not with its first result."""
        with self._lock:
            if self._pace.seconds is None:
                self._pace.start()
                self._show("")

    def say(self, note: str) -> None:
        """Report what happens before the clock starts."""
        with self._lock:
            self._show(note)

    def restart(self, note: str) -> None:
        """Report that the work begins again, and why."""
        with self._lock:
            self._pace.restart()
            self._show(note)

    def advance(self, amount: int = 1, note: str = "") -> None:
        """Report that more is done; the default note is the pace."""
        with self._lock:
            self._pace.add(amount)
            rate = self._pace.rate
            self._show(note or ("" if rate is None else format_rate(rate, self._unit)))

    def close(self) -> None:
        """Report that the stage has ended."""
        TERMINAL.close(self._bar, keep=self._keep, seconds=self._pace.seconds)
        if self._recorded:
            self._recorded.close()
        self._print()
        self._artifacts.show(self.done, self.total, self.text())
        self._artifacts.close()
        if self._parent is not None:
            self._parent.log(self.text())

    def text(self) -> str:
        """Return the state in one line, without the remaining time."""
        if not self.done and self._note:
            return f"{self._name}: {self._note}"
        return ", ".join(filter(None, (f"{self._name}: {self.done} of {self.total}", self._note)))

    def status(self) -> str:
        """Return the state in one line, with the remaining time where it is known."""
        left = self._pace.left
        return self.text() + ("" if left is None else f", {format_duration(left)} left")

    def _show(self, note: str) -> None:
        self._note = note
        TERMINAL.move(self._bar, self.done, note)
        if self._recorded:
            self._recorded.move(self.done)
        now = time.monotonic()
        if now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            self._print()
        self._artifacts.show(self.done, self.total, self.text())

    def _print(self) -> None:
        if self.text() != self._printed:
            self._printed = self.text()
            TERMINAL.line(self.status())


@contextmanager
def stage(
    name: str, total: int, *, unit: str = "", keep: bool = True, waits_for: str = ""
) -> Iterator[Stage]:
    """Show the progress of work.

    Args:
        name: Label of the work.
        total: Amount of the work.
        unit: What is counted, in the singular; the rate names it.
        keep: Whether the bar remains after the end.
        waits_for: What the work waits for before its first event.
    """
    current = Stage(name, total, unit=unit, keep=keep, waits_for=waits_for)
    run = followed_run()
    try:
        with run.open(current.status) if run is not None else nullcontext():
            yield current
    finally:
        current.close()


def _create_artifact(name: str) -> UUID | None:
    if TaskRunContext.get() is None:
        return None
    # In a thread without an event loop the result is the artifact's id, not a coroutine.
    return cast("UUID", create_progress_artifact(progress=0.0, description=name))


def _create_copy(name: str) -> UUID | None:
    return copied_to_parent("progress", 0.0, name)
