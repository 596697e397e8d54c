"""The adapter to Dask: the description of an open cluster, its client, and the wait for a job."""

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
"""Interval at which a wait for a job checks whether to continue."""
GREETINGS = 10
"""Attempts of a client to connect to the scheduler."""
GREETING_SECONDS = 0.05
"""Pause between attempts."""
LOST_SECONDS = 60.0
"""How long a job waits when no suitable worker is left."""


@dataclass(frozen=True)
class Cluster:
    """A cluster that a flow has opened and checked, and the use of its workers."""

    address: str
    """Address of the scheduler."""
    token: Location | None = None
    """A file in the workspace that every worker must see; exists while the cluster is open."""
    sample: Location | None = None
    """A file of the data that every feature worker must see."""
    features_on_gpu_workers: bool = False
    """Whether workers that offer GPU also compute features when there are others."""
    spare_workers_come: bool = False
    """Whether workers without GPU will join if there are none."""
    lost_after_s: float = LOST_SECONDS
    """How long a job waits for a suitable worker."""
    backend: str = ""
    """Keras's backend that members train with; empty where none are trained."""

    def fit(self, *, training: bool) -> WorkerRequirements:
        """Return what a worker must provide for a job."""
        files = (self.token, None if training else self.sample)
        return WorkerRequirements(
            overlap.__version__, tuple(file for file in files if file is not None)
        )


NO_CLUSTER = Cluster(address="")
"""Passed to the stages of a flow when nothing has to be computed."""


@contextmanager
def connect(cluster: Cluster, timeout_s: float = 30.0) -> Iterator[Client]:
    """Connect a client to a running scheduler.

    Raises:
        ClusterError: the scheduler does not answer, or refuses this client.
    """
    address = cluster.address
    if cluster == NO_CLUSTER:
        raise ClusterError(
            "the data changed while the run was starting; start the run again",
            code="data-changed",
        )
    _refuse_wrong_security(address)
    try:
        client = _client(address, timeout_s)
    except (OSError, ValueError) as error:
        tls = address.startswith("tls://")
        raise ClusterError(
            f"the Dask scheduler at {address} does not answer within {timeout_s:g} s "
            f"({type(error).__name__}); check that it is running, that this machine can reach it, "
            + (
                "and that the certificates match"
                if tls
                else "and that it accepts connections without TLS"
            ),
            code="scheduler-unreachable",
            address=address,
            timeout_s=timeout_s,
        ) from None
    try:
        yield client
    finally:
        client.close()


class ClosedOnErrorClient(Client):
    """A client that closes itself if it cannot start.

    Dask leaves such a client to the garbage collector. If the collector runs during the start of
    another client, closing the first deadlocks on the lock that the second holds.
    """

    def start(self, **options: object) -> None:
        """Connect to the scheduler."""
        try:
            super().start(**options)  # type: ignore[no-untyped-call]
        except BaseException:
            self.close()
            raise


def _client(address: str, timeout_s: float) -> Client:
    """Connect a client; try again if Dask misreads the scheduler's first message.

    A scheduler informs every client about jobs that another has cancelled. If it does so within
    2 ms of its greeting, both arrive as one message, and Dask's client fails with an
    AssertionError.
    """
    for _ in range(GREETINGS - 1):
        with suppress(AssertionError):
            return ClosedOnErrorClient(address, set_as_default=False, timeout=timeout_s)
        time.sleep(GREETING_SECONDS)
    return ClosedOnErrorClient(address, set_as_default=False, timeout=timeout_s)


def _refuse_wrong_security(address: str) -> None:
    """Check address and TLS configuration before Dask fails with a less helpful error.

    Raises:
        ClusterError: the address does not match Dask's configuration.
    """
    tls = address.startswith("tls://")
    if tls and Security().get_connection_args("client")["ssl_context"] is None:
        raise ClusterError(
            f"the Dask scheduler at {address} requires TLS, but this process has no certificate: "
            "set distributed.comm.tls (ca-file, client.cert, client.key) in Dask's configuration",
            code="no-certificate",
            address=address,
        )
    if not tls and dask.config.get("distributed.comm.require-encryption"):
        raise ClusterError(
            f"{address} does not use TLS, which Dask's configuration requires "
            "(distributed.comm.require-encryption); name a scheduler at tls://…",
            code="unencrypted",
            address=address,
        )


@contextmanager
def lost_cluster_named(client: Client) -> Iterator[None]:
    """Convert Dask's errors about lost schedulers and workers.

    Raises:
        ClusterLostError: the scheduler is gone, or the job's workers died repeatedly.
    """
    try:
        yield
    except KilledWorker as error:
        raise ClusterLostError(
            f"the workers that ran {error.task} died repeatedly; if the machine ran out of "
            f"memory, use fewer workers; {RESUME_HINT}",
            code="workers-died",
            task=str(error.task),
        ) from None
    except CancelledError:
        where = client.scheduler.address if client.scheduler else "the given address"
        raise ClusterLostError(
            f"the connection to the Dask scheduler at {where} was lost; {RESUME_HINT}",
            code="scheduler-lost",
            address=where,
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
        anyone: Returns whether a suitable worker exists.
        lost_after_s: How long to wait for a suitable worker.

    Raises:
        ClusterLostError: the cluster is gone, or had no suitable worker for `lost_after_s`.
        CancelledError: `stop` was set.
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
                    "run again",
                    code="no-training-worker",
                    waited_s=lost_after_s,
                )
        if future.done():
            return future.result()
    raise CancelledError


@contextmanager
def listen(
    client: Client, topic: str, on_event: Callable[[dict[str, Any]], None]
) -> Iterator[None]:
    """Receive the events that jobs `report` under a topic."""
    client.subscribe_topic(topic, lambda stamped: on_event(stamped[1]))
    try:
        yield
    finally:
        client.unsubscribe_topic(topic)
