"""What runs on a worker around a job: whether the worker can do it, and what the job may ask.

Everything that a job needs travels with it and everything it makes lies in the workspace, so a
worker may die, a job may run twice, and the answer stays the same.
"""

import os
import secrets
import socket
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

from distributed import Status, get_worker
from distributed.protocol import pickle

import overlap
from overlap.errors import UnfitWorkerError
from overlap.io.location import Location
from overlap.system.provenance import software
from overlap.training.placement import Placement

Result = TypeVar("Result")

TRAINING_RESOURCE: Mapping[str, int] = {"GPU": 1}
"""What a worker offers that trains members, and what a training job asks for."""


@dataclass(frozen=True)
class WorkerRequirements:
    """What a worker must be for the jobs of a run; travels with each of them."""

    version: str
    """Version of overlap."""
    sees: tuple[Location, ...]
    """Files that it can read."""


_FITTING: set[WorkerRequirements] = set()
"""What this process was found to be; it stays so."""


def portable_call(
    fit: WorkerRequirements, function: Callable[..., Result], *arguments: object
) -> Callable[[], Result]:
    """A call of `run_if_compatible` that any worker can receive.

    One without this code ends when it unpacks a job that names it, and comes again, and ends. So
    the job is packed twice, and what is inside is unpacked where an error is the job's own.
    """
    packed = pickle.dumps((fit, function, arguments))

    def unpack_and_run() -> "Result":  # sent as code: nothing of this module may be named here
        from tasks.on_worker import run_if_compatible

        inside: tuple[WorkerRequirements, Callable[..., Result], tuple[object, ...]] = pickle.loads(
            packed
        )
        return run_if_compatible(inside[0], inside[1], *inside[2])

    return unpack_and_run


def run_if_compatible(
    fit: WorkerRequirements, function: Callable[..., Result], *arguments: object
) -> Result:
    """Do a job if this worker is one that can; a worker may have joined a moment ago.

    Raises:
        UnfitWorkerError: it cannot; another may.
    """
    if fit not in _FITTING:
        fault = _fault(fit)
        if fault:
            raise UnfitWorkerError(get_worker().address, fault)
        _FITTING.add(fit)
    return function(*arguments)


def _fault(fit: WorkerRequirements) -> str:
    if fit.version != overlap.__version__:
        return f"overlap {overlap.__version__}, here {fit.version}"
    unseen = [str(file) for file in fit.sees if not readable(file)]
    return f"does not see {' and '.join(unseen)}" if unseen else ""


def readable(file: Location) -> bool:
    """Whether this process can read a file."""
    try:
        with file.reading() as content:
            content.read(1)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class WorkerProbe:
    """What a worker found of itself."""

    software: dict[str, str]
    """Versions of Python and of the packages that shape a result."""
    sees_workspace: bool
    answer: str
    """File that it wrote into the workspace; empty where it could not."""
    why: str
    """What kept it from writing."""
    sees_sample: bool
    """Whether it can read the given file of the data; true where none was given."""


def look(token: Location, sample: Location | None) -> WorkerProbe:
    """On a worker: look whether it can do the work.

    Args:
        token: A file that the flow has just written into the workspace.
        sample: A file of the data.
    """
    sees, answer, why = readable(token), "", ""
    if sees:  # elsewhere a workspace of its own would be made
        answer = f"{token.name}-{secrets.token_hex(6)}"
        try:
            (token.parent / answer).write_bytes(b"overlap")
        except OSError as error:
            answer, why = "", str(error)
    return WorkerProbe(software(), sees, answer, why, sample is None or readable(sample))


def places_on_this_worker() -> int:
    """From inside a training job: how many such jobs its worker runs side by side.

    A worker that offers GPU=2 trains two members at a time on its one accelerator.
    """
    offered = get_worker().state.total_resources
    return max(1, *(int(offered.get(n, 0) // need) for n, need in TRAINING_RESOURCE.items()))


def placement() -> Placement:
    """From inside a job: where it runs, from now on."""
    worker = get_worker()
    return Placement(
        worker=worker.address,
        name=str(worker.name),
        host=socket.gethostname(),
        process=os.getpid(),
        resources=dict(worker.state.total_resources),
        started=datetime.now(UTC),
    )


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
