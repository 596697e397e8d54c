"""The workers of a cluster, seen from outside: who trains, who computes features, who is fit."""

import pkgutil
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

from distributed import Client

import overlap
from overlap.errors import ClusterError, ClusterLostError, UnfitWorkerError
from tasks.cluster import Cluster
from tasks.on_worker import TRAINING_RESOURCE

Worker = Mapping[str, Any]
"""What the scheduler tells of a worker."""
Workers = Mapping[str, Worker]
"""The workers by their addresses."""

SCHEDULER_POLL_SECONDS = 2.0
"""How often it is looked which workers there are while features are computed."""
CHOICE = 16
"""Workers that a feature job may choose from. A list of all would be sent with every job; some
chosen at random are as good, since the scheduler takes the least busy of them."""
JOBS_AHEAD = 4
"""Jobs submitted per thread; more would only fill the scheduler's memory."""
PENDING_WORKER = "overlap-waits-for-a-cpu-worker"
"""In the place of a worker's address, where a worker that computes features is still to come."""


def workers_of(client: Client) -> Workers:
    """The workers that are there now."""
    return client.scheduler_info(n_workers=-1)["workers"]  # type: ignore[no-any-return]


def offers_training(worker: Worker) -> bool:
    """Whether a worker offers what training needs."""
    offered = worker["resources"]
    return all(offered.get(name, 0) >= need for name, need in TRAINING_RESOURCE.items())


def trainers(client: Client) -> list[str]:
    """Addresses of the workers that offer what training needs."""
    return [a for a, worker in workers_of(client).items() if offers_training(worker)]


def training_slots(client: Client) -> int:
    """How many training jobs the cluster runs side by side."""
    return sum(slots_of(worker, "training") for worker in workers_of(client).values())


def slots_of(worker: Worker, sort: str) -> int:
    """How many jobs a worker runs side by side: of `training`, or of `others`."""
    threads: int = worker["nthreads"]
    if sort != "training":
        return threads
    offered = worker["resources"]
    return min(threads, *(int(offered.get(n, 0) // need) for n, need in TRAINING_RESOURCE.items()))


def feature_workers(workers: Workers, cluster: Cluster) -> Workers:
    """The workers that compute features: those without an accelerator, if there are any."""
    spare = {a: worker for a, worker in workers.items() if not offers_training(worker)}
    if cluster.features_on_gpu_workers or not (spare or cluster.spare_workers_come):
        return workers
    return spare


def other_versions(client: Client) -> dict[str, str]:
    """Workers without this version of overlap, and what they have instead.

    The question is put in the standard library's words: a worker of another version may know
    nothing of this module.
    """
    answers = client.run(pkgutil.resolve_name, "overlap:__version__", on_error="return")
    return {
        address: version_fault(answer)
        for address, answer in sorted(answers.items())
        if answer != overlap.__version__
        and not isinstance(answer, OSError)  # it ended a moment ago
    }


def version_fault(answer: object) -> str:
    """What it means where another version, or an error, is the answer to that question."""
    if isinstance(answer, Exception):
        return f"does not have the package overlap ({answer})"
    return f"overlap {answer}, here {overlap.__version__}"


def unfit_workers(client: Client, error: Exception, place: Sequence[str] | None) -> dict[str, str]:
    """Which workers cannot do the work, after a job has failed.

    Args:
        client: A client of the cluster.
        error: What the job failed with. A worker without this code says that in Python's words.
        place: Where the job could run; None: anywhere.

    Raises:
        Exception: the error, where no worker is to blame.
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
    """Where the jobs of a feature stage may go; looked up again as workers come and go.

    Attributes:
        unfit: Workers that are left out, and why.
    """

    def __init__(self, client: Client, cluster: Cluster) -> None:
        self.unfit: dict[str, str] = {}
        self._client, self._cluster = client, cluster
        self._fit: Workers = {}
        self._everyone: Workers = {}
        self._looked, self._seen = -SCHEDULER_POLL_SECONDS, time.monotonic()
        self.look()

    def look(self) -> bool:
        """Look who is there, unless that was done a moment ago.

        Returns:
            Whether it was done now.

        Raises:
            ClusterError: those who are there cannot do the work.
            ClusterLostError: nobody has been there for a while.
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
                "no worker is left that computes features; what is complete is kept: start "
                "workers, and run again"
            )
        return True

    def leave_out(self, unfit: Mapping[str, str]) -> None:
        """Give no more jobs to some workers.

        Raises:
            ClusterError: no others are left.
        """
        self.unfit |= unfit
        self._choose()

    def _choose(self) -> None:
        able = {a: worker for a, worker in self._everyone.items() if a not in self.unfit}
        self._fit = feature_workers(able, self._cluster)
        if self._everyone and not able:
            faults = "\n  ".join(f"{a}: {fault}" for a, fault in sorted(self.unfit.items()))
            raise ClusterError(f"no worker is left that can do the work:\n  {faults}")

    @property
    def addresses(self) -> list[str]:
        """The workers that compute features now."""
        return sorted(self._fit)

    @property
    def threads(self) -> int:
        """Their threads."""
        return sum(worker["nthreads"] for worker in self._fit.values())

    @property
    def window(self) -> int:
        """How many jobs are to be at the scheduler."""
        return max(8, JOBS_AHEAD * self.threads)

    def pick(self) -> list[str] | None:
        """Addresses that the next job may go to; None: any, also of workers that come later."""
        if not self._fit:
            return [PENDING_WORKER] if self._cluster.spare_workers_come else None
        if self._cluster.features_on_gpu_workers and not self.unfit:
            return None
        return random.sample(self.addresses, min(CHOICE, len(self._fit)))

    def workers_lost(self, place: Sequence[str] | None) -> bool:
        """Whether a job waits for workers that are not there, while others are."""
        return place is not None and bool(self._fit) and self._fit.keys().isdisjoint(place)
