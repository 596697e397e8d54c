"""Jobs on the workers that compute features, in a window that grows with the workers."""

from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any, Generic, TypeVar
from uuid import uuid4

from dask.utils import funcname
from distributed import Client, Future

from overlap.errors import UnfitWorkerError
from overlap.system.submission_window import SubmissionWindow
from tasks.cluster import Cluster, lost_cluster_named
from tasks.on_worker import portable_call
from tasks.progress import note
from tasks.workers import SCHEDULER_POLL_SECONDS, WorkerPool, unfit_workers

Job = TypeVar("Job")
Result = TypeVar("Result")
Running = tuple[int, Job, Sequence[str] | None]
"""Number of a job, the job, and the workers that it may run on."""


def fan_out(
    client: Client,
    cluster: Cluster,
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    on_result: Callable[[Result], None] = lambda _result: None,
) -> list[Result]:
    """Return the results of `fanned_out` as a list."""
    return [*fanned_out(client, cluster, function, jobs, on_result)]


def fanned_out(
    client: Client,
    cluster: Cluster,
    function: Callable[[Job], Result],
    jobs: Iterable[Job],
    on_result: Callable[[Result], None] = lambda _result: None,
) -> Generator[Result]:
    """Apply a function to jobs on the workers that compute features.

    Jobs are taken from the iterable and submitted in a window, and each result is released once it
    is received, so that neither jobs nor results are ever all in memory. The first failure cancels
    the queued jobs and is raised. A job is reassigned if its worker is unfit, or if all its
    workers are gone.

    Args:
        client: A client of the cluster.
        cluster: The cluster.
        function: Applied to each job.
        jobs: The jobs.
        on_result: Called with each result when it arrives.

    Yields:
        The results in the order of the jobs.
    """
    early: dict[int, Result] = {}
    due = 0
    waiting = iter(enumerate(jobs))
    window = _Window(client, cluster, function)
    try:
        window.fill(waiting)
        while window.busy:
            ended = window.next()
            if ended is not None:
                number, result = ended
                early[number] = result
                on_result(result)
                window.fill(waiting)
                while due in early:
                    yield early.pop(due)
                    due += 1
    finally:
        window.cancel()


def on_every_worker(
    client: Client, addresses: Sequence[str], function: Callable[..., object], *arguments: object
) -> None:
    """Call a function once on each worker, in the threads that run jobs, and wait for it.

    If a worker dies, another worker runs the call instead, which is harmless: a call restricted to
    the dead worker would wait forever.
    """
    futures = [
        client.submit(function, *arguments, workers=[address], allow_other_workers=True, pure=False)
        for address in addresses
    ]
    with lost_cluster_named(client):
        client.gather(futures)


class _Window(Generic[Job, Result]):
    """The submitted jobs, and where each may run."""

    def __init__(self, client: Client, cluster: Cluster, function: Callable[[Job], Result]) -> None:
        self._client, self._function = client, function
        self._jobs = SubmissionWindow[Running[Job], "Future[Result]"](self._submitted)
        self._fit = cluster.fit(training=False)
        self._places = WorkerPool(client, cluster)

    @property
    def busy(self) -> bool:
        """Whether jobs are running."""
        return bool(self._jobs.running)

    def fill(self, waiting: Iterable[tuple[int, Job]]) -> None:
        """Submit jobs until the window is full or no job is left."""
        placed = ((number, job, self._places.pick()) for number, job in waiting)
        self._jobs.fill(placed, self._places.window)

    def _submitted(self, running: Running[Job]) -> "Future[Result]":
        _, job, place = running
        return self._client.submit(
            portable_call(self._fit, self._function, job),
            key=f"{funcname(self._function)}-{uuid4().hex}", workers=place, pure=False,
        )  # fmt: skip

    def next(self) -> tuple[int, Result] | None:
        """Wait for the next result; None after a timeout, or if a job was reassigned."""
        if self._places.look():
            self._move_lost_jobs()
        ended = self._jobs.next(SCHEDULER_POLL_SECONDS)
        if ended is None:
            return None
        future, (number, job, place) = ended
        try:
            with lost_cluster_named(self._client):
                result = future.result()
        except (UnfitWorkerError, ImportError, AttributeError) as error:
            self._leave_out(unfit_workers(self._client, error, place))
            self._jobs.add((number, job, self._places.pick()))
            return None
        future.release()
        return number, result

    def _leave_out(self, unfit: dict[str, str]) -> None:
        for address in sorted(unfit.keys() - self._places.unfit.keys()):
            note(f"a worker that joined later is unfit: {address}: {unfit[address]}")
        self._places.leave_out(unfit)

    def _move_lost_jobs(self) -> None:
        running = self._jobs.running.items()
        lost = [f for f, (_, _, place) in running if self._places.workers_lost(place)]
        for future in lost:
            number, job, _ = self._jobs.remove(future)
            future.cancel()
            self._jobs.add((number, job, self._places.pick()))

    def cancel(self) -> None:
        """Cancel the unfinished jobs."""
        left: list[Any] = list(self._jobs.running)
        self._jobs.running.clear()
        self._client.cancel(left)
