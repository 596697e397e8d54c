"""A bounded number of submitted jobs, whatever runs them."""

from collections.abc import Callable, Iterable
from itertools import islice
from queue import Empty, SimpleQueue
from typing import Any, Generic, Protocol, TypeVar


class Completable(Protocol):
    """A future of `concurrent.futures`, Dask or Prefect."""

    def add_done_callback(self, fn: Callable[[Any], None], /) -> Any:  # noqa: ANN401
        """Call a function with this future when it has ended."""
        ...


Job = TypeVar("Job")
Pending = TypeVar("Pending", bound=Completable)


class SubmissionWindow(Generic[Job, Pending]):
    """Submits jobs as there is room, and returns their futures as they end.

    Jobs are taken from an iterable only when they are submitted, so they are never in memory
    together. The size of the window is given at each call, and may grow with the workers.

    Args:
        submit: Starts a job and returns its future.

    Attributes:
        running: The jobs that have not ended, by their futures.
    """

    def __init__(self, submit: Callable[[Job], Pending]) -> None:
        self.running: dict[Pending, Job] = {}
        self._submit = submit
        self._ended: SimpleQueue[Pending] = SimpleQueue()

    def fill(self, waiting: Iterable[Job], size: int) -> None:
        """Submit jobs until `size` are running or none is left."""
        for job in islice(waiting, max(0, size - len(self.running))):
            self.add(job)

    def add(self, job: Job) -> None:
        """Submit a job regardless of the size."""
        future = self._submit(job)
        self.running[future] = job
        future.add_done_callback(self._ended.put)

    def next(self, timeout: float | None = None) -> tuple[Pending, Job] | None:
        """Wait for the next job to end.

        Args:
            timeout: Seconds; None: no limit.

        Returns:
            The future and its job, or None if the time is over or a removed job ended.
        """
        try:
            future = self._ended.get(timeout=timeout)
        except Empty:
            return None
        if future not in self.running:
            return None
        return future, self.running.pop(future)

    def remove(self, future: Pending) -> Job:
        """Forget a running job, and return it; the end of its future is ignored."""
        return self.running.pop(future)
