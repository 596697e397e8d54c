"""Code that runs on the scheduler: counts of unfinished jobs, and protection of trainers."""

from collections.abc import Mapping
from typing import Any

from distributed import SchedulerPlugin

from tasks.workers import offers_training, slots_of

OPEN = {"waiting", "no-worker", "queued", "processing"}
"""States of an unfinished job."""


def jobs_and_idle(dask_scheduler: Any) -> dict[str, Any]:  # noqa: ANN401  Dask publishes no types
    """Count the unfinished jobs, and list the idle workers.

    Returns:
        training: number of jobs that need an accelerator; others: number of jobs that do not;
        idle: names of the workers without a job; slots: for each worker's name, how many jobs of
        each sort it runs at a time.
    """
    opened = [task for task in dask_scheduler.tasks.values() if task.state in OPEN]
    training = sum(bool(task.resource_restrictions) for task in opened)
    workers = dask_scheduler.workers.values()
    return {
        "training": training,
        "others": len(opened) - training,
        "idle": [worker.name for worker in workers if not worker.processing],
        "slots": {
            worker.name: {sort: slots_of(_facts(worker), sort) for sort in ("training", "others")}
            for worker in workers
        },
    }


class KeepTrainers(SchedulerPlugin):
    """Excludes workers that train, and groups of workers that only train, from downscaling.

    For clusters that are scaled from outside, for instance by an operator. It asks the scheduler
    which workers to stop, and does not know which of them train.
    """

    name = "overlap-keep-trainers"

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:  # noqa: ANN401
        """Return the workers that may be stopped."""
        two_kinds = not all(offers_training(_facts(w)) for w in scheduler.workers.values())
        return [
            w for w in workers if not (_trains(w) or (two_kinds and offers_training(_facts(w))))
        ]


def _trains(worker: Any) -> bool:  # noqa: ANN401
    return any(task.resource_restrictions for task in worker.processing)


def _facts(worker: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """Return the description of a worker that clients see."""
    return {"nthreads": worker.nthreads, "resources": worker.resources}
