"""The flow run that the user started: it reports what its sub-flows and tasks do.

Prefect shows the logs and artifacts of a run on the page of the flow that created them. A user
opens the page of the run that was started, whose stages are sub-flows. So that page receives a
line per stage and epoch, a copy of each artifact, and, when nothing was reported for
`HEARTBEAT_SECONDS`, a line that says what is going on.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any
from uuid import UUID

from prefect import get_run_logger
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.context import FlowRunContext, TaskRunContext

from overlap.io.formatting import format_duration
from tasks.progress.terminal import TERMINAL

HEARTBEAT_SECONDS = 30.0
"""Time without a line after which a line says what is going on."""
CHECK_SECONDS = 1.0
"""Time between the checks for it."""
IDLE = "the run continues"
Status = Callable[[], str]
"""Returns what a stage or activity does now; one that begins with `waits for` waits."""


class FollowedRun:
    """A flow run whose page, or whose terminal, a user watches.

    Args:
        logger: Logger of the flow run.
        run: Id of the flow run; None: unknown.

    Attributes:
        run: The id.
        idle: What the run does while no stage or activity is open.
    """

    def __init__(
        self, logger: "logging.Logger | logging.LoggerAdapter[Any]", run: UUID | None
    ) -> None:
        self.run, self.idle = run, IDLE
        self._logger, self._last = logger, time.monotonic()
        self._open: dict[object, Status] = {}
        self._lock = threading.Lock()

    def log(self, text: str, level: int = logging.INFO) -> None:
        """Write a line into the log of the run."""
        self._last = time.monotonic()
        self._logger.log(level, "%s", text)

    @contextmanager
    def open(self, status: Status) -> Iterator[None]:
        """Let the line of a long silence describe some work within the block."""
        key, self.idle = object(), IDLE
        with self._lock:
            self._open[key] = status
        try:
            yield
        finally:
            with self._lock:
                del self._open[key]

    def status(self) -> str:
        """Describe everything that is going on, in one line."""
        with self._lock:
            texts = [status() for status in self._open.values()]
        waiting: dict[str, list[str]] = {}
        for text in texts:
            name, found, what = text.rpartition(": waits for ")
            if found:
                waiting.setdefault(what, []).append(name)
        active = [text for text in texts if ": waits for " not in text]
        active += [
            f"{names[0]}: waits for {what}"
            if len(names) == 1
            else f"{names[0]} and {len(names) - 1} more wait for {what}"
            for what, names in waiting.items()
        ]
        return "; ".join(active) or self.idle

    def beat(self) -> None:
        """Write a line if the log, or a terminal without bars, has been silent for long."""
        if time.monotonic() - self._last >= HEARTBEAT_SECONDS:
            self.log(self.status())
        if TERMINAL.silent_for >= HEARTBEAT_SECONDS:
            TERMINAL.line(self.status())


_followed: ContextVar[FollowedRun | None] = ContextVar("followed", default=None)


@contextmanager
def followed() -> Iterator[None]:
    """Within a flow: make it the run that reports, unless it is a sub-flow of such a run."""
    context = FlowRunContext.get()
    if _followed.get() is not None or context is None:
        yield
        return
    run = FollowedRun(get_run_logger(), context.flow_run.id if context.flow_run else None)
    token, over = _followed.set(run), threading.Event()

    def beat() -> None:
        while not over.wait(CHECK_SECONDS):
            run.beat()

    thread = threading.Thread(target=beat, name="heartbeat", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        _followed.reset(token)


def followed_run() -> FollowedRun | None:
    """Return the run that the user started, where the caller belongs to one."""
    return _followed.get()


def parent_run() -> FollowedRun | None:
    """Return the run that the user started, if it is not the flow run of the caller."""
    run = _followed.get()
    return run if run is not None and run.run not in (None, _own_flow_run()) else None


def _own_flow_run() -> UUID | None:
    task, flow = TaskRunContext.get(), FlowRunContext.get()
    if task is not None:
        return task.task_run.flow_run_id
    return flow.flow_run.id if flow is not None and flow.flow_run is not None else None


@contextmanager
def doing(what: str) -> Iterator[None]:
    """Within a flow or task: log some work without a known amount, such as `pooling 8 members`."""
    run = _followed.get()
    if run is None:
        yield
        return
    run.log(what)
    begun = time.monotonic()
    with run.open(lambda: f"{what}, for {format_duration(time.monotonic() - begun)}"):
        yield


def note(text: str) -> None:
    """Within a flow or task: warn the user in the log and the terminal."""
    get_run_logger().warning(text)
    run = parent_run()
    if run is not None:
        run.log(text, logging.WARNING)
    TERMINAL.note(text)


def on_wait(message: str) -> None:
    """Within a flow: warn the user that the run waits, which long silences repeat."""
    note(message)
    run = _followed.get()
    if run is not None:
        run.idle = message


def copied_to_parent(kind: str, data: str | float, description: str | None = None) -> UUID | None:
    """Create a copy of an artifact on the page of the run that the user started.

    The copy has no key: Prefect's page of artifacts lists the original only.

    Args:
        kind: `markdown`, `table` or `progress`.
        data: Its content, as the API takes it.
        description: Its description.

    Returns:
        The id of the copy; None if the caller belongs to that run itself.
    """
    run = parent_run()
    if run is None:
        return None
    with get_client(sync_client=True) as client:
        made = client.create_artifact(
            ArtifactCreate(type=kind, data=data, description=description, flow_run_id=run.run)
        )
    return made.id
