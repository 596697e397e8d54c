"""The adapter to Dask: what a flow knows of a cluster, a client of it, and a wait for a job."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from threading import Event
from typing import Any, TypeVar

import dask
from distributed import Client, Future, KilledWorker
from distributed.security import Security

import overlap
from overlap.errors import RESUME_HINT, ClusterError, ClusterLostError
from overlap.io.location import Location
from tasks.on_worker import WorkerRequirements

Result = TypeVar("Result")

FUTURE_CHECK_SECONDS = 1.0
"""How often a job that is waited for looks whether to go on."""
GREETINGS = 10
"""How often a client tries to be greeted by the scheduler."""
GREETING_SECONDS = 0.05
"""How long it waits in between."""
LOST_SECONDS = 60.0
"""How long a job waits when no worker is left that could take it."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that a flow has opened and checked, and how its workers are used."""

    address: str
    """Of its scheduler."""
    token: Location | None = None
    """A file of the workspace, there as long as the cluster is open: every worker sees it."""
    sample: Location | None = None
    """A file of the data: every worker that computes features sees it."""
    features_on_gpu_workers: bool = False
    """Whether workers that offer GPU compute features beside others that do not."""
    spare_workers_come: bool = False
    """Whether workers without GPU will come where there are none."""
    lost_after_s: float = LOST_SECONDS
    """How long a job waits for a worker."""

    def fit(self, *, training: bool) -> WorkerRequirements:
        """What a worker must be for a job."""
        files = (self.token, None if training else self.sample)
        return WorkerRequirements(
            overlap.__version__, tuple(file for file in files if file is not None)
        )


NO_CLUSTER = Cluster(address="")
"""What a flow gives its stages when nothing has to be computed."""


@contextmanager
def connect(cluster: Cluster, timeout_s: float = 30.0) -> Iterator[Client]:
    """A client of a running scheduler.

    Raises:
        ClusterError: it does not answer, or not to this client.
    """
    address = cluster.address
    if cluster == NO_CLUSTER:
        raise ClusterError("the data changed while the run was starting; start it again")
    _refuse_wrong_security(address)
    try:
        client = _client(address, timeout_s)
    except (OSError, ValueError) as error:
        tls = address.startswith("tls://")
        raise ClusterError(
            f"the Dask scheduler at {address} does not answer within {timeout_s:g} s "
            f"({type(error).__name__}); is it running, can this machine reach it, "
            + ("and do the certificates fit?" if tls else "and does it speak without TLS?")
        ) from None
    try:
        yield client
    finally:
        client.close()


class ClosedOnErrorClient(Client):
    """A client that leaves nothing open where it cannot start.

    One of Dask's is then left to the garbage collector, which closes it wherever the collector
    happens to run: in the start of another client it waits for ever for the lock that this holds.
    """

    def start(self, **options: object) -> None:
        """Connect to the scheduler."""
        try:
            super().start(**options)  # type: ignore[no-untyped-call]
        except BaseException:
            self.close()
            raise


def _client(address: str, timeout_s: float) -> Client:
    """A client of a scheduler, asked for again where Dask mistakes the answer.

    A scheduler tells every client which jobs another has cancelled. Where it says so within 2 ms
    of its greeting both come as one message, and Dask's client fails by an assertion.
    """
    for _ in range(GREETINGS - 1):
        with suppress(AssertionError):
            return ClosedOnErrorClient(address, set_as_default=False, timeout=timeout_s)
        time.sleep(GREETING_SECONDS)
    return ClosedOnErrorClient(address, set_as_default=False, timeout=timeout_s)


def _refuse_wrong_security(address: str) -> None:
    """Say what is missing before Dask tries, and fails in other words.

    Raises:
        ClusterError: address and Dask's configuration do not fit.
    """
    tls = address.startswith("tls://")
    if tls and Security().get_connection_args("client")["ssl_context"] is None:
        raise ClusterError(
            f"the Dask scheduler at {address} speaks TLS, and this process has no certificate: "
            "set distributed.comm.tls (ca-file, client.cert, client.key) in Dask's configuration"
        )
    if not tls and dask.config.get("distributed.comm.require-encryption"):
        raise ClusterError(
            f"{address} is without TLS, which Dask's configuration "
            "(distributed.comm.require-encryption) refuses; a scheduler with TLS is at tls://…"
        )


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
            f"the workers that ran {error.task} died, one after the other; if the machine ran out "
            f"of memory, fewer workers need less; {RESUME_HINT}"
        ) from None
    except CancelledError:
        where = client.scheduler.address if client.scheduler else "the given address"
        raise ClusterLostError(
            f"the connection to the Dask scheduler at {where} was lost; {RESUME_HINT}"
        ) from None


def awaited(
    client: Client,
    future: Future[Result],
    stop: Event,
    anyone: Callable[[], bool],
    lost_after_s: float,
) -> Result:
    """Wait for a training job.

    Args:
        client: The client that submitted it.
        future: The job.
        stop: Ends the wait when it is set.
        anyone: Whether a worker is there that could take it.
        lost_after_s: How long to wait for one.

    Raises:
        ClusterLostError: the cluster is gone, or has had no such worker for a while.
        CancelledError: the wait was ended.
    """
    seen = time.monotonic()
    with lost_cluster_named(client):
        while not future.done() and not stop.is_set():
            with suppress(TimeoutError):
                return future.result(timeout=FUTURE_CHECK_SECONDS)
            if anyone():
                seen = time.monotonic()
            elif time.monotonic() - seen > lost_after_s:
                raise ClusterLostError(
                    "no worker is left that offers GPU, which training needs; start one, and "
                    "run again"
                )
        if future.done():
            return future.result()
    raise CancelledError


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
