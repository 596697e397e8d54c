"""Submission of training jobs: all at once, or as slots become free while they are wanted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from queue import Empty, SimpleQueue
from typing import Any, TypeVar

from prefect.futures import PrefectFuture

from tasks.cluster import Cluster, connect
from tasks.workers import training_slots

Job = TypeVar("Job")
Result = TypeVar("Result")
SLOT_CHECK_SECONDS = 5.0
"""Interval at which the number of training slots is read."""


def dispatched(
    scheduler: Cluster,
    submit: Callable[[Job], PrefectFuture[Result]],
    jobs: Sequence[Job],
    wanted: Callable[[Job], bool] | None = None,
) -> Iterator[tuple[Job, PrefectFuture[Result]]]:
    """Submit training jobs, and yield each with its future when it ends.

    Args:
        scheduler: The cluster.
        submit: Starts a job.
        jobs: The jobs in their order of submission.
        wanted: Called when a slot is free for a job, after the caller has handled the ended jobs;
            a job that is not wanted is skipped. None: all jobs are submitted at once, and wait
            for workers in the cluster.
    """
    with ExitStack() as stack:
        room: Callable[[], int] = lambda: len(jobs)  # noqa: E731
        if wanted is not None:
            client = stack.enter_context(connect(scheduler))
            room = lambda: max(1, training_slots(client))  # noqa: E731
        yield from in_window(submit, jobs, room, wanted or (lambda _job: True))


def in_window(
    submit: Callable[[Job], PrefectFuture[Result]],
    jobs: Sequence[Job],
    room: Callable[[], int],
    wanted: Callable[[Job], bool],
) -> Iterator[tuple[Job, PrefectFuture[Result]]]:
    """As `dispatched`, with at most `room()` jobs at a time, read again before each submission."""
    ended: SimpleQueue[PrefectFuture[Any]] = SimpleQueue()
    running: dict[PrefectFuture[Any], Job] = {}
    waiting = list(reversed(jobs))
    while waiting or running:
        while waiting and len(running) < room():
            job = waiting.pop()
            if wanted(job):
                future = submit(job)
                running[future] = job
                future.add_done_callback(ended.put)
        try:
            future = ended.get(timeout=SLOT_CHECK_SECONDS if running else 0)
        except Empty:
            continue
        yield running.pop(future), future
