"""Submission of training jobs: all at once, or as slots become free while they are wanted."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import TypeVar

from prefect.futures import PrefectFuture

from overlap.system.submission_window import SubmissionWindow
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
    """As `dispatched`, with at most `room()` jobs at a time, which is at least 1 and may grow."""
    window = SubmissionWindow[Job, PrefectFuture[Result]](submit)
    waiting = filter(wanted, jobs)
    while True:
        window.fill(waiting, room())
        if not window.running:
            return
        ended = window.next(SLOT_CHECK_SECONDS)
        if ended is not None:
            future, job = ended
            yield job, future
