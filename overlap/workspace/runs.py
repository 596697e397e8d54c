"""Records of runs in `runs/<id>.json`: stages with their times, the outcome and the result.

Prefect knows the same about runs that its server saw. The records also cover runs from the command
line, and can be read without a server. They are for readers, such as `overlap view`: no run
depends on them, and a failure to write one never ends a run. A run that is killed leaves a record
without an end. While a run works, its record is written at least every `HEARTBEAT_SECONDS`, so a
reader recognises a killed one by its age.
"""

import os
import platform
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta
from typing import Final, Literal

from overlap.errors import OverlapError
from overlap.io.location import Location
from overlap.io.records import Record, record_bytes
from overlap.io.workspace_paths import WorkspacePaths
from overlap.redaction import masked

KEPT: Final = 200
"""Number of records that stay, the newest."""
WRITE_SECONDS: Final = 2.0
"""Shortest time between two writes of progress; starts and ends are written at once."""
HEARTBEAT_SECONDS: Final = 30.0
"""Longest time between two writes while the run works."""
SILENT: Final = timedelta(seconds=4 * HEARTBEAT_SECONDS)
"""A record without an end that is older was left by a run that was killed."""
SUFFIX: Final = ".json"

Outcome = Literal["completed", "failed", "interrupted"]


class StageRecord(Record):
    """A stage of a run."""

    name: str
    started: datetime
    ended: datetime | None = None
    """None while the stage works."""
    done: int = 0
    """Part of `total` that is done."""
    total: int = 0
    """Amount of work: clips, members or files, depending on the stage."""


class RunRecord(Record):
    """A run; the content of its file."""

    id: str
    """Sortable by the time of the start."""
    kind: str
    """Flow that the run is: retrain, features, train, pool, tune or distill."""
    started: datetime
    written: datetime
    """When the record was last written."""
    host: str = ""
    process: int = 0
    """Process id on the host."""
    source: Literal["command line", "server"] = "command line"
    data: str = ""
    """Address of the data folder."""
    preset: str = ""
    members: int | None = None
    """Members that the run plans; None if it plans none."""
    stages: tuple[StageRecord, ...] = ()
    """In the order of their starts."""
    ended: datetime | None = None
    """None while the run works, or if it was killed."""
    outcome: Outcome | None = None
    error: str = ""
    """First line of the error that ended the run, with secrets masked."""
    code: str = ""
    """Code of the error, if it is an error of overlap."""
    version: str | None = None
    """The ensemble that the run published or found published."""
    promoted: bool | None = None
    """Whether that became the champion; None if nothing was decided."""
    reason: str = ""
    """Why it did or did not."""

    def state(self, now: datetime | None = None) -> str:
        """Return completed, failed, interrupted, or running.

        Args:
            now: The time; None: that of the clock.
        """
        if self.outcome is not None:
            return self.outcome
        silent = (now or datetime.now(UTC)) - self.written > SILENT
        return "interrupted" if silent else "running"

    def seconds(self, now: datetime | None = None) -> float:
        """Return the duration so far, seconds.

        Args:
            now: The time; None: that of the clock.
        """
        end = self.ended or self.written
        if self.state(now) == "running":
            end = now or datetime.now(UTC)
        return max(0.0, (end - self.started).total_seconds())


class RunRecorder:
    """Keeps the record of one run and writes it, whatever thread reports.

    Args:
        location: File of the record; None records nothing.
        record: The record at the start.
    """

    def __init__(self, location: Location | None, record: RunRecord) -> None:
        self._location, self._record = location, record
        self._lock, self._write_lock = threading.Lock(), threading.Lock()
        self._written, self._unwritten = 0.0, False
        self._over = threading.Event()

    @contextmanager
    def working(self) -> Iterator[None]:
        """Write the record at the start and the end of the block, and at intervals within it."""
        if self._location is None:
            yield
            return
        self._write()
        threading.Thread(target=self._heartbeats, daemon=True, name="run record").start()
        try:
            yield
        except Exception as error:
            self._end("failed", error)
            raise
        except BaseException as error:
            self._end("interrupted", error)
            raise
        else:
            self._end("completed")
        finally:
            self._over.set()

    def stage(self, name: str, total: int = 0) -> "StageRecorder":
        """Record that a stage begins.

        Args:
            name: Its name.
            total: Its amount of work; 0: unknown.
        """
        begun = StageRecord(name=name, started=_now(), total=total)
        with self._lock:
            index = len(self._record.stages)
            self._change(stages=(*self._record.stages, begun))
        self._write()
        return StageRecorder(self, index)

    def result(self, version: str, *, promoted: bool | None = None, reason: str = "") -> None:
        """Record the ensemble of the run.

        Args:
            version: Version of the ensemble.
            promoted: Whether it became the champion.
            reason: Why.
        """
        with self._lock:
            self._change(version=version, promoted=promoted, reason=reason)

    def change_stage(self, index: int, **values: object) -> None:
        """Change the fields of a stage; written now if it ends, otherwise soon."""
        with self._lock:
            stages = [*self._record.stages]
            stages[index] = stages[index].model_copy(update=values)
            self._change(stages=tuple(stages))
        if "ended" in values or time.monotonic() - self._written >= WRITE_SECONDS:
            self._write()

    def _change(self, **values: object) -> None:
        self._record, self._unwritten = self._record.model_copy(update=values), True

    def _end(self, outcome: Outcome, error: BaseException | None = None) -> None:
        self._over.set()
        first = str(error).strip().partition("\n")[0] if error else ""
        if error and not first:
            first = type(error).__name__
        code = error.code if isinstance(error, OverlapError) else ""
        with self._lock:
            ended = _now()
            open_stages = (
                stage.model_copy(update={"ended": stage.ended or ended})
                for stage in self._record.stages
            )
            self._change(
                ended=ended, outcome=outcome, error=masked(first), code=code,
                stages=tuple(open_stages),
            )  # fmt: skip
        self._write()

    def _heartbeats(self) -> None:
        while not self._over.wait(min(WRITE_SECONDS, HEARTBEAT_SECONDS / 4)):
            silent = time.monotonic() - self._written
            if silent >= (WRITE_SECONDS if self._unwritten else HEARTBEAT_SECONDS):
                self._write()

    def _write(self) -> None:
        if self._location is None:
            return
        with self._write_lock:
            self._written = time.monotonic()
            with self._lock:
                self._change(written=_now())
                record, self._unwritten = self._record, False
            with suppress(OSError, OverlapError):  # the record is informative only
                self._location.write_bytes(record_bytes(record))


class StageRecorder:
    """Reports the progress of one stage to the recorder of its run.

    Args:
        run: The recorder.
        index: Position of the stage.
    """

    def __init__(self, run: RunRecorder, index: int) -> None:
        self._run, self._index = run, index

    def move(self, done: int) -> None:
        """Record that this amount is done in total."""
        self._run.change_stage(self._index, done=done)

    def close(self) -> None:
        """Record that the stage has ended."""
        self._run.change_stage(self._index, ended=_now())


@contextmanager
def recorded_run(workspace: Location, kind: str, **about: object) -> Iterator[RunRecorder]:
    """Record a run while the block works; a block within another one belongs to its run.

    Args:
        workspace: The workspace; the caller has checked that it can be written.
        kind: Name of the flow.
        **about: More fields of `RunRecord`, such as `data`.
    """
    current = _current.get()
    if current is not None:
        yield current
        return
    started = _now()
    name = f"{started:%Y%m%d-%H%M%S-%f}-{secrets.token_hex(2)}"  # sortable also within a second
    fields = {"host": platform.node(), "process": os.getpid(), **about}
    record = RunRecord(id=name, kind=kind, started=started, written=started, **fields)
    folder = WorkspacePaths(workspace).runs
    recorder = RunRecorder(folder / f"{name}{SUFFIX}", record)
    token = _current.set(recorder)
    try:
        with recorder.working():
            _remove_old(folder)
            yield recorder
    finally:
        _current.reset(token)


def current_run() -> RunRecorder:
    """Return the recorder of the run that the code belongs to; otherwise one without effect."""
    return _current.get() or RunRecorder(None, _NO_RUN)


def read_runs(workspace: Location, count: int = 20) -> tuple[RunRecord, ...]:
    """Return the latest runs, newest first; records that cannot be read are left out.

    Args:
        workspace: The workspace.
        count: Most records.
    """
    folder = WorkspacePaths(workspace).runs
    found = []
    for name in reversed(_names(folder)):
        with suppress(OSError, OverlapError):
            found.append((folder / name).read_record(RunRecord))
        if len(found) == count:
            break
    return tuple(found)


def _names(folder: Location) -> list[str]:
    try:
        names = [entry.name for entry in folder.files()] if folder.is_folder() else []
    except OSError:
        return []
    return sorted(name for name in names if name.endswith(SUFFIX))


def _remove_old(folder: Location) -> None:
    for name in _names(folder)[:-KEPT]:
        with suppress(OSError, OverlapError):
            (folder / name).remove()


def _now() -> datetime:
    return datetime.now(UTC)


_NO_RUN: Final = RunRecord(id="", kind="", started=_now(), written=_now())
_current: ContextVar[RunRecorder | None] = ContextVar("overlap_run_record", default=None)
"""A context, not a thread, is a run: Prefect hands the context of a flow on to its tasks."""
