"""The adapter to Dask: connect, apply a function to many jobs, report from a worker.

Everything that a job needs travels with it and everything it makes lies in the workspace, so a
worker may die, a job may run twice, and the answer stays the same.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar

from distributed import Client, Future, as_completed, get_worker

from overlap.errors import ClusterError

Job = TypeVar("Job")
Result = TypeVar("Result")

NO_CLUSTER = ""
"""Address that a flow gives its stages when nothing has to be computed."""
JOBS_AHEAD = 4
"""Jobs submitted per thread of the cluster; more would only fill the scheduler's memory."""
TRAINING_RESOURCE: Mapping[str, int] = {"GPU": 1}
"""What a worker offers that trains members, and what a training job asks for."""


@contextmanager
def connect(address: str, timeout_s: float = 30.0) -> Iterator[Client]:
    """A client of a running scheduler.

    Raises:
        ClusterError: it does not answer.
    """
    if address == NO_CLUSTER:
        raise ClusterError("the data changed while the run was starting; start it again")
    try:
        client = Client(address, set_as_default=False, timeout=timeout_s)
    except (OSError, ValueError) as error:
        raise ClusterError(
            f"the Dask scheduler at {address} does not answer within {timeout_s:g} s "
            f"({type(error).__name__}); is it running, and can this machine reach it?"
        ) from None
    try:
        yield client
    finally:
        client.close()


def fan_out(
    client: Client,
    function: Callable[[Job], Result],
    jobs: Sequence[Job],
    on_result: Callable[[Result], None] = lambda _result: None,
) -> list[Result]:
    """Apply a function to jobs on the cluster.

    Jobs are submitted in a window, and a result is released as soon as it is here. The first
    job that fails ends the whole: what is queued is cancelled and its error is raised.

    Returns:
        The results in the order of the jobs.
    """
    results: dict[int, Result] = {}
    indexes: dict[Future[Result], int] = {}
    waiting = iter(enumerate(jobs))

    def submit(count: int) -> list[Future[Result]]:
        futures: list[Future[Result]] = []
        for index, job in islice(waiting, count):
            future = client.submit(function, job, pure=False)
            indexes[future] = index
            futures.append(future)
        return futures

    threads = sum(client.nthreads().values())
    running = as_completed(submit(max(8, JOBS_AHEAD * threads)), loop=client.loop)
    try:
        for future in running:
            result = future.result()
            results[indexes.pop(future)] = result
            future.release()
            on_result(result)
            running.update(submit(1))
    finally:
        client.cancel(list(indexes))
    return [results[index] for index in range(len(jobs))]


def report(topic: str, event: Mapping[str, Any]) -> None:
    """From inside a job: send an event to whoever subscribed to the topic."""
    get_worker().log_event(topic, dict(event))


@contextmanager
def listen(
    client: Client, topic: str, on_event: Callable[[dict[str, Any]], None]
) -> Iterator[None]:
    """Receive what jobs `report` under a topic."""
    client.subscribe_topic(topic, lambda stamped: on_event(stamped[1]))
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
