"""Progress artifacts of Prefect, updated by a thread of their own.

An update is a request, and Prefect's client repeats a failed one for a minute. Progress is reported
by threads that must not wait for it, above all by that of the Dask client, which also receives the
results of the cluster and tells the scheduler that this process is alive.
"""

import logging
import threading
import time
from collections.abc import Sequence
from contextvars import copy_context
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from prefect.artifacts import update_progress_artifact

TICK_SECONDS: Final = 1.0
"""Time between two looks for news."""
NEW: Final = (-1.0, "")

State = tuple[float, str]
"""Percent that are done, and a line of text."""


@dataclass
class ProgressArtifact:
    """An artifact, and what the server knows of it.

    Attributes:
        artifact: Its id.
        every: Least time between two updates, in seconds.
    """

    artifact: UUID
    every: float
    sent: State = NEW
    sent_at: float = 0.0

    def send(self, state: State) -> None:
        """Update the artifact."""
        self.sent, self.sent_at = state, time.monotonic()
        update_progress_artifact(self.artifact, progress=state[0], description=state[1])


class ArtifactUpdates:
    """Keeps artifacts current with the progress of one stage, until `close`.

    Args:
        artifacts: The artifacts; without any, nothing is started.
    """

    def __init__(self, artifacts: Sequence[ProgressArtifact]) -> None:
        self._artifacts, self._state, self._closed = artifacts, NEW, threading.Event()
        self._thread: threading.Thread | None = None
        if artifacts:
            # With the settings of Prefect that apply here, such as the address of the server.
            target, name = copy_context().run, "progress artifacts"
            self._thread = threading.Thread(
                target=target, args=(self._update,), name=name, daemon=True
            )
            self._thread.start()

    def show(self, done: int, total: int, text: str) -> None:
        """Show a state soon; later ones replace it."""
        self._state = (100.0 * done / total if total else 100.0, text)

    def close(self) -> None:
        """Wait until the server has the last state, or cannot be reached."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _update(self) -> None:
        over = False
        while not over:
            over = self._closed.wait(TICK_SECONDS)
            for artifact in self._artifacts:
                state, now = self._state, time.monotonic()
                due = over or now - artifact.sent_at >= artifact.every
                if due and state not in (artifact.sent, NEW):
                    try:
                        artifact.send(state)
                    except Exception as error:  # noqa: BLE001  a picture never fails a run
                        logging.getLogger(__name__).debug("no update of an artifact: %s", error)
