"""The workers of a cluster: which ones train, compute features, and are fit for a job."""

import pkgutil
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from distributed import Client

import overlap
from overlap.errors import RESUME_HINT, ClusterError, ClusterLostError, UnfitWorkerError
from tasks.cluster import Cluster
from tasks.on_worker import TRAINING_RESOURCE

Worker = Mapping[str, Any]
"""The scheduler's description of a worker."""
Workers = Mapping[str, Worker]
"""Descriptions of workers by address."""

SCHEDULER_POLL_SECONDS = 2.0
"""Interval at which the list of workers is read while features are computed."""
CHOICE = 16
"""Number of workers that a feature job may run on. The list is sent with every job; a random
sample serves as well as the full list, because the scheduler picks the least busy one."""
JOBS_AHEAD = 4
"""Jobs submitted per thread; more would only occupy the scheduler's memory."""
PENDING_WORKER = "overlap-waits-for-a-cpu-worker"
"""Placeholder address while no feature worker has joined yet."""


def workers_of(client: Client) -> Workers:
    """Return the current workers."""
    return client.scheduler_info(n_workers=-1)["workers"]  # type: ignore[no-any-return]


def offers_training(worker: Worker) -> bool:
    """Return whether a worker offers the training resource."""
    offered = worker["resources"]
    return all(offered.get(name, 0) >= need for name, need in TRAINING_RESOURCE.items())


def trainers(client: Client) -> list[str]:
    """Return the addresses of the workers that offer the training resource."""
    return [a for a, worker in workers_of(client).items() if offers_training(worker)]


def training_slots(client: Client) -> int:
    """Return how many training jobs the cluster runs at a time."""
    return sum(slots_of(worker, "training") for worker in workers_of(client).values())


def slots_of(worker: Worker, sort: str) -> int:
    """Return how many jobs of a sort, `training` or `others`, a worker runs at a time."""
    threads: int = worker["nthreads"]
    if sort != "training":
        return threads
    offered = worker["resources"]
    return min(threads, *(int(offered.get(n, 0) // need) for n, need in TRAINING_RESOURCE.items()))


def feature_workers(workers: Workers, cluster: Cluster) -> Workers:
    """Select the workers that compute features: those without an accelerator, if any."""
    spare = {a: worker for a, worker in workers.items() if not offers_training(worker)}
    if cluster.features_on_gpu_workers or not (spare or cluster.spare_workers_come):
        return workers
    return spare


def other_versions(client: Client) -> dict[str, str]:
    """Find workers without this version of overlap; returns a description of each fault.

    The call uses only the standard library: a worker with another version may lack this module.
    """
    answers = client.run(pkgutil.resolve_name, "overlap:__version__", on_error="return")
    return {
        address: version_fault(answer)
        for address, answer in sorted(answers.items())
        if answer != overlap.__version__
        and not isinstance(answer, OSError)  # the worker has just ended
    }


def version_fault(answer: object) -> str:
    """Describe a version answer that is another version or an error."""
    if isinstance(answer, Exception):
        return f"does not have the package overlap ({answer})"
    return f"overlap {answer}, here {overlap.__version__}"


def unfit_workers(client: Client, error: Exception, place: Sequence[str] | None) -> dict[str, str]:
    """Find the unfit workers behind the failure of a job; returns a fault for each address.

    Args:
        client: A client of the cluster.
        error: The error of the job. A worker without this code raises Python's import errors.
        place: Addresses where the job could run; None: anywhere.

    Raises:
        Exception: `error`, if no worker is unfit.
    """
    found: dict[str, str] = {}
    if isinstance(error, UnfitWorkerError):
        found = {error.address: error.fault}
    elif isinstance(error, ImportError | AttributeError):
        found = other_versions(client)
    if not found or (place is not None and found.keys().isdisjoint(place)):
        raise error
    return found


class WorkerPool:
    """The workers that receive the jobs of a feature stage, updated as workers join and leave.

    Attributes:
        unfit: Excluded workers, with their faults.
    """

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.unfit: dict[str, str] = {}
        self._client, self._cluster = client, cluster
        self._fit: Workers = {}
        self._everyone: Workers = {}
        self._looked, self._seen = -SCHEDULER_POLL_SECONDS, time.monotonic()
        self.look()

    def look(self) -> bool:
        """Read the list of workers, at most once per `SCHEDULER_POLL_SECONDS`.

        Returns:
            Whether the list was read.

        Raises:
            ClusterError: no worker is fit for the work.
            ClusterLostError: there has been no worker for `Cluster.lost_after_s`.
        """
        now = time.monotonic()
        if now - self._looked < SCHEDULER_POLL_SECONDS:
            return False
        self._everyone, self._looked = workers_of(self._client), now
        self._choose()
        if self._fit:
            self._seen = now
        elif now - self._seen > self._cluster.lost_after_s:
            raise ClusterLostError(
                f"no worker is left that computes features; start workers, and run again; "
                f"{RESUME_HINT}",
                code="no-feature-worker",
                waited_s=self._cluster.lost_after_s,
            )
        return True

    def leave_out(self, unfit: Mapping[str, str]) -> None:
        """Exclude workers from further jobs.

        Raises:
            ClusterError: no other worker is left.
        """
        self.unfit |= unfit
        self._choose()

    def _choose(self) -> None:
        able = {a: worker for a, worker in self._everyone.items() if a not in self.unfit}
        self._fit = feature_workers(able, self._cluster)
        if self._everyone and not able:
            faults = "\n  ".join(f"{a}: {fault}" for a, fault in sorted(self.unfit.items()))
            raise ClusterError(
                f"no worker is left that can do the work:\n  {faults}",
                code="no-fit-worker",
                workers=sorted(self.unfit),
            )

    @property
    def addresses(self) -> list[str]:
        """Addresses of the current feature workers."""
        return sorted(self._fit)

    @property
    def threads(self) -> int:
        """Total threads of the feature workers."""
        return sum(worker["nthreads"] for worker in self._fit.values())

    @property
    def window(self) -> int:
        """Number of jobs to keep at the scheduler."""
        return max(8, JOBS_AHEAD * self.threads)

    def pick(self) -> list[str] | None:
        """Choose addresses for the next job; None: any worker, also one that joins later."""
        if not self._fit:
            return [PENDING_WORKER] if self._cluster.spare_workers_come else None
        if self._cluster.features_on_gpu_workers and not self.unfit:
            return None
        return random.sample(self.addresses, min(CHOICE, len(self._fit)))

    def workers_lost(self, place: Sequence[str] | None) -> bool:
        """Return whether all workers that may run a job are gone while others exist."""
        return place is not None and bool(self._fit) and self._fit.keys().isdisjoint(place)
