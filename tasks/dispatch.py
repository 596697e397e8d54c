"""Which members are submitted when: all at once, or one after the other while they are wanted."""

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
"""How often it is looked whether a training worker has come."""


def dispatched(
    scheduler: Cluster,
    submit: Callable[[Job], PrefectFuture[Result]],
    jobs: Sequence[Job],
    wanted: Callable[[Job], bool] | None = None,
) -> Iterator[tuple[Job, PrefectFuture[Result]]]:
    """Submit training jobs, and give each back with its future as it ends.

    Args:
        scheduler: The cluster.
        submit: Starts a job.
        jobs: In the order in which they are to be started.
        wanted: BackfillJob when a training worker is free for a job, after what has ended was dealt
            with; a job that is not wanted is left out. None: all are submitted at once, and
            wait for workers in the cluster.
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
