"""Runs the trials of a study: asks, trains members on the cluster, reports, prunes and tells.

All calls of the study are made in the thread of the flow. The events of the trainings arrive in
threads of the cluster's client and wait in a queue.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from threading import Event
from typing import Any, Final

from prefect.exceptions import CancelledRun
from prefect.futures import PrefectFuture

from overlap.errors import (
    ChildError,
    ClusterLostError,
    ConfigError,
    MemberError,
)
from overlap.training.progress import read_progress
from overlap.training.spec import MemberRecord, MemberSpec, load_record
from overlap.tuning.definition import Study
from overlap.tuning.outcomes import Trial, score_of
from overlap.tuning.trials import Trials
from overlap.workspace.workspace import Workspace
from tasks.cluster import Cluster, connect
from tasks.dispatch import SLOT_CHECK_SECONDS
from tasks.members import train_member
from tasks.progress import Stage, note, stage
from tasks.workers import training_slots

EVENT_SECONDS: Final = 1.0
"""How long to wait for the next event before the free slots are looked at again."""
MOST_REPEATS: Final = 50
"""So many trials in a row with settings of earlier ones show that the space is exhausted."""
MOST_FAILURES: Final = 3
"""So many failed trials in a row end the search: the cause is not in the settings."""


@dataclass(eq=False)
class _Running:
    """A trial whose member is being trained."""

    trial: Trial
    spec: MemberSpec
    future: PrefectFuture[MemberRecord] | None = None
    stop: Event = field(default_factory=Event)
    told: bool = False
    """Whether its study knows its end; its job may still be ending."""


class TrialRunner:
    """Runs the trials of one study until as many as wanted exist and all have ended.

    Args:
        cluster: The cluster.
        workspace: The workspace, with complete features.
        study: The study.
        trials: Its trials.
        parallel: Trials at a time; None: as many as the cluster trains at a time.
    """

    def __init__(
        self,
        cluster: Cluster,
        workspace: Workspace,
        study: Study,
        trials: Trials,
        parallel: int | None = None,
    ) -> None:
        self._cluster, self._workspace, self._study, self._trials = (
            cluster, workspace, study, trials,
        )  # fmt: skip
        self._parallel = parallel
        self._running: dict[int, _Running] = {}
        self._events: SimpleQueue[tuple[int, Mapping[str, Any] | None]] = SimpleQueue()
        self._failures = 0

    def run(self, wanted: int) -> None:
        """Continue the trials that ran when the driver ended, and ask for more.

        Args:
            wanted: Number of trials of the study, with those that have ended.

        Raises:
            MemberError: Several trials in a row failed (code `trials-failed`).
            ClusterLostError: The cluster, or its training workers, are gone.
        """
        ended = sum(trial.state != "running" for trial in self._trials.all())
        left = max(wanted, len(self._trials.all())) - ended
        with (
            stage("trials", left, unit="trial") as progress,
            self._room() as room,
            self._all_stopped(),
        ):
            for trial in self._trials.running():
                self._continue(trial, progress)
            while True:
                while len(self._running) < room() and len(self._trials.all()) < wanted:
                    if not self._begin(progress):
                        wanted = len(self._trials.all())
                if not self._running:
                    return
                self._handle_event(progress)

    @contextmanager
    def _room(self) -> Iterator[Callable[[], int]]:
        """The number of trials at a time, read from the cluster every few seconds."""
        with ExitStack() as stack:
            if (fixed := self._parallel) is not None:
                yield lambda: fixed
                return
            client = stack.enter_context(connect(self._cluster))
            read, slots = -SLOT_CHECK_SECONDS, 1

            def room() -> int:
                nonlocal read, slots
                if time.monotonic() - read >= SLOT_CHECK_SECONDS:
                    read, slots = time.monotonic(), max(1, training_slots(client))
                return slots

            yield room

    @contextmanager
    def _all_stopped(self) -> Iterator[None]:
        """On an error, stop the jobs; their trials stay open for the next run."""
        try:
            yield
        except BaseException:
            for running in self._running.values():
                running.stop.set()
            raise

    def _begin(self, progress: Stage) -> bool:
        """Ask for a trial and submit it; return False where the space is exhausted."""
        for _ in range(MOST_REPEATS):
            trial = self._trials.ask()
            try:
                spec = self._spec(trial)
            except ConfigError as error:
                self._trials.fail(trial.number, str(error))
                self._count_failure(str(error))
                progress.advance()
                return True
            if self._trials.begin(trial, spec.fingerprint):
                self._submit(trial, spec, progress)
                return True
        note(
            f"the last {MOST_REPEATS} trials repeat settings of earlier ones; the search ends "
            f"after {len(self._trials.all())} trials"
        )
        return False

    def _continue(self, trial: Trial, progress: Stage) -> None:
        """Submit a trial that was running, unless its epochs decide about it already."""
        spec = self._spec(trial)
        if not trial.member and not self._trials.begin(trial, spec.fingerprint):
            return
        due = self._trials.due(trial.number)
        folder = spec.folder(self._workspace.location)
        for epoch in read_progress(folder):
            due = due or self._trials.report(trial.number, epoch.epoch, epoch.held_out_kl)
        record = load_record(folder)
        if due:
            self._trials.prune(trial.number, _pruned_after(self._last_epoch(trial.number)))
            progress.advance()
        elif record is not None:
            self._trials.complete(trial.number, score_of(record))
            progress.advance()
        else:
            self._submit(trial, spec, progress)

    def _spec(self, trial: Trial) -> MemberSpec:
        config = self._study.settings(dict(trial.values))
        return self._study.spec(config, self._workspace.catalog, self._workspace.store)

    def _submit(self, trial: Trial, spec: MemberSpec, progress: Stage) -> None:
        number = trial.number
        running = self._running[number] = _Running(trial, spec)
        running.future = train_member.submit(
            self._cluster, self._workspace.location, spec, number, f"trial {number}", progress,
            running.stop, lambda event: self._events.put((number, event)),
        )  # fmt: skip
        running.future.add_done_callback(lambda _future: self._events.put((number, None)))

    def _handle_event(self, progress: Stage) -> None:
        try:
            number, event = self._events.get(timeout=EVENT_SECONDS)
        except Empty:
            return
        running = self._running.get(number)
        if running is None:
            return
        if event is None:
            del self._running[number]
            self._ended(running)
            progress.advance()
        elif not running.told:
            self._follow(running, event)

    def _follow(self, running: _Running, event: Mapping[str, Any]) -> None:
        number, reason = running.trial.number, ""
        if event["event"] == "epoch":
            if self._trials.report(number, event["epoch"], event.get("held_out_kl")):
                reason = _pruned_after(event["epoch"])
        elif event["event"] == "diverged":  # its second attempt would be another training
            reason = str(event["reason"])
        if reason:
            self._trials.prune(number, reason)
            running.told = True
            running.stop.set()

    def _ended(self, running: _Running) -> None:
        """Tell the study how a training ended, unless it was pruned.

        Raises:
            MemberError: Several trials in a row failed.
            ClusterLostError: The cluster is gone.
        """
        number, future = running.trial.number, running.future
        if running.told or future is None:
            return
        try:
            record = future.result()
        except CancelledRun:
            raise ClusterLostError(f"trial {number} was cancelled") from None
        except MemberError as error:
            if error.code != "training-diverged":
                raise
            self._trials.prune(number, str(error))
        except (ChildError, ConfigError) as error:
            self._trials.fail(number, str(error))
            self._count_failure(str(error))
        else:
            self._failures = 0
            self._trials.complete(number, score_of(record))

    def _last_epoch(self, number: int) -> int:
        return max(next(t for t in self._trials.all() if t.number == number).kls, default=0)

    def _count_failure(self, reason: str) -> None:
        self._failures += 1
        note(f"a trial failed: {reason.splitlines()[0]}")
        if self._failures >= MOST_FAILURES:
            raise MemberError(
                f"{MOST_FAILURES} trials in a row failed, the last one: {reason}",
                code="trials-failed", failures=MOST_FAILURES,
            )  # fmt: skip


def _pruned_after(epoch: int) -> str:
    return f"pruned after epoch {epoch}"
