"""Code that runs on a worker around a job: compatibility checks, and facts about the worker.

A job carries everything that it needs and writes its results to the workspace. A worker may
therefore die, and a job may run twice, without changing the results.
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
"""Dask resource that training workers offer and training jobs request."""


@dataclass(frozen=True)
class WorkerRequirements:
    """Requirements of a run on its workers; every job carries them."""

    version: str
    """Version of overlap."""
    sees: tuple[Location, ...]
    """Files that the worker must be able to read."""


_FITTING: set[WorkerRequirements] = set()
"""Requirements that this process was found to meet."""


def portable_call(
    fit: WorkerRequirements, function: Callable[..., Result], *arguments: object
) -> Callable[[], Result]:
    """Wrap a call of `run_if_compatible` so that any worker can receive it.

    A worker without this package crashes while it unpickles a job that refers to the package,
    restarts, and crashes again. The call is therefore pickled twice: the inner pickle is opened
    within the job, where an error is reported as the job's.
    """
    packed = pickle.dumps((fit, function, arguments))

    def unpack_and_run() -> "Result":  # sent by value: must not refer to this module
        from overlap.system.import_path import own_packages_first

        own_packages_first(("tasks", "flows"))  # the worker's path may have others first
        from tasks.on_worker import run_if_compatible

        inside: tuple[WorkerRequirements, Callable[..., Result], tuple[object, ...]] = pickle.loads(
            packed
        )
        return run_if_compatible(inside[0], inside[1], *inside[2])

    return unpack_and_run


def run_if_compatible(
    fit: WorkerRequirements, function: Callable[..., Result], *arguments: object
) -> Result:
    """Run a job if this worker meets the requirements; it may have joined after the preflight.

    Raises:
        UnfitWorkerError: it does not meet them; another worker may.
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
    """Return whether this process can read a file."""
    try:
        with file.reading() as content:
            content.read(1)
    except OSError:
        return False
    return True


@dataclass(frozen=True)
class WorkerProbe:
    """A worker's report about itself."""

    software: dict[str, str]
    """Versions of Python and of the packages that affect results."""
    sees_workspace: bool
    answer: str
    """Name of the file that it wrote into the workspace; empty if it could not."""
    why: str
    """Why it could not write; empty if it could."""
    sees_sample: bool
    """Whether it can read the given data file; true if none was given."""


def look(token: Location, sample: Location | None) -> WorkerProbe:
    """Check on a worker whether it can do the work.

    Args:
        token: A file that the flow has just written into the workspace.
        sample: A file of the data.
    """
    sees, answer, why = readable(token), "", ""
    if sees:  # otherwise this would create a second workspace
        answer = f"{token.name}-{secrets.token_hex(6)}"
        try:
            (token.parent / answer).write_bytes(b"overlap")
        except OSError as error:
            answer, why = "", str(error)
    return WorkerProbe(software(), sees, answer, why, sample is None or readable(sample))


def places_on_this_worker() -> int:
    """Within a training job: return how many such jobs its worker runs at a time.

    A worker that offers GPU=2 trains two members at a time on its one accelerator.
    """
    offered = get_worker().state.total_resources
    return max(1, *(int(offered.get(n, 0) // need) for n, need in TRAINING_RESOURCE.items()))


def placement() -> Placement:
    """Within a job: return the record of its worker, starting now."""
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
    """Within a job: return a function that tells, in any thread, whether the job is still wanted.

    A job is no longer wanted once it is cancelled, its client is gone (even by `kill -9`), or its
    worker has lost the scheduler. Dask cannot stop the thread that runs the job.
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
    """Within a job: send an event to the subscribers of a topic."""
    get_worker().log_event(topic, dict(event))
