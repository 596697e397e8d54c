"""The adapter to Dask: connect, apply a function to many jobs, report from a worker.

Everything that a job needs travels with it and everything it makes lies in the workspace, so a
worker may die, a job may run twice, and the answer stays the same.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from itertools import islice
from threading import Event
from typing import Any, TypeVar

from distributed import Client, Future, KilledWorker, Status, as_completed, get_worker

from overlap.errors import ClusterError, ClusterLostError

Job = TypeVar("Job")
Result = TypeVar("Result")

NO_CLUSTER = ""
"""Address that a flow gives its stages when nothing has to be computed."""
JOBS_AHEAD = 4
"""Jobs submitted per thread of the cluster; more would only fill the scheduler's memory."""
TRAINING_RESOURCE: Mapping[str, int] = {"GPU": 1}
"""What a worker offers that trains members, and what a training job asks for."""
LOOK_SECONDS = 1.0
"""How often a job that is waited for, and a job that runs, look whether to go on."""
LOST_SECONDS = 60.0
"""How long a training job waits when no worker is left that could take it."""


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
    jobs: Iterable[Job],
    on_result: Callable[[Result], None] = lambda _result: None,
) -> list[Result]:
    """Apply a function to jobs on the cluster.

    Jobs are asked for and submitted in a window, and a result is released as soon as it is here:
    the jobs are never in memory together. The first that fails ends the whole: what is queued is
    cancelled and its error is raised.

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
            with lost_cluster_named(client):
                result = future.result()
            results[indexes.pop(future)] = result
            future.release()
            on_result(result)
            running.update(submit(1))
    finally:
        client.cancel(list(indexes))
    return [results[index] for index in sorted(results)]


def on_every_worker(client: Client, function: Callable[..., object], *arguments: object) -> None:
    """Call a function once on each worker, in the threads that run jobs, and wait for it.

    Where a worker dies meanwhile another makes its call, for nothing: a call that only the dead
    one may make would wait for ever.
    """
    futures = [
        client.submit(function, *arguments, workers=[address], allow_other_workers=True, pure=False)
        for address in client.nthreads()
    ]
    with lost_cluster_named(client):
        client.gather(futures)


@contextmanager
def lost_cluster_named(client: Client) -> Iterator[None]:
    """Around a wait for a job: what Dask says of a death, in words for a person.

    Raises:
        ClusterLostError: the scheduler is gone, or the job's workers died again and again.
    """
    try:
        yield
    except KilledWorker as error:
        raise ClusterLostError(
            f"the workers that ran {error.task} died, one after the other; did the machine run "
            "out of memory? What is complete is kept, and a new run goes on from there"
        ) from None
    except CancelledError:
        where = client.scheduler.address if client.scheduler else "the given address"
        raise ClusterLostError(
            f"the connection to the Dask scheduler at {where} was lost; what is complete is "
            "kept, and a new run goes on from there"
        ) from None


def training_result(client: Client, future: Future[Result], stop: Event) -> Result:
    """Wait for a training job.

    Args:
        client: The client that submitted it.
        future: The job.
        stop: Ends the wait when it is set.

    Raises:
        ClusterLostError: the cluster is gone, or has had no training worker for a while.
        CancelledError: the wait was ended.
    """
    seen = time.monotonic()
    with lost_cluster_named(client):
        while not future.done() and not stop.is_set():
            with suppress(TimeoutError):
                return future.result(timeout=LOOK_SECONDS)
            if trainers(client):
                seen = time.monotonic()
            elif time.monotonic() - seen > LOST_SECONDS:
                raise ClusterLostError(
                    f"no worker is left that offers {'/'.join(TRAINING_RESOURCE)}, which "
                    "training needs; start one, and run again"
                )
        if future.done():
            return future.result()
    raise CancelledError


def trainers(client: Client) -> list[str]:
    """Addresses of the workers that offer what training needs."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return [
        address
        for address, worker in workers.items()
        if all(worker["resources"].get(n, 0) >= amount for n, amount in TRAINING_RESOURCE.items())
    ]


def training_slots(client: Client) -> int:
    """How many training jobs the cluster runs side by side."""
    workers = client.scheduler_info(n_workers=-1)["workers"]
    return sum(
        min(
            workers[address]["nthreads"],
            *(
                int(workers[address]["resources"][n] // need)
                for n, need in TRAINING_RESOURCE.items()
            ),
        )
        for address in trainers(client)
        if address in workers
    )


def places_on_this_worker() -> int:
    """From inside a training job: how many such jobs its worker runs side by side.

    A worker that offers GPU=2 trains two members at a time on its one accelerator.
    """
    offered = get_worker().state.total_resources
    return max(1, *(int(offered.get(n, 0) // need) for n, need in TRAINING_RESOURCE.items()))


def still_wanted() -> Callable[[], bool]:
    """From inside a job: what tells, in any thread, whether anyone still waits for the job.

    A job is not wanted once it is cancelled, its client is gone (even by `kill -9`), or its
    worker has lost the scheduler. Dask cannot stop the thread that runs it.
    """
    worker = get_worker()
    key = worker.get_current_task()

    def wanted() -> bool:
        if worker.status in (Status.closing, Status.closed, Status.failed):
            return False
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    return wanted


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
