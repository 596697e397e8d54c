"""What runs on the scheduler: how much work there is, and whom nobody may send away."""

from collections.abc import Mapping
from typing import Any

from distributed import SchedulerPlugin

from tasks.workers import offers_training, slots_of

OPEN = {"waiting", "no-worker", "queued", "processing"}
"""States of a job that is not done."""


def jobs_and_idle(dask_scheduler: Any) -> dict[str, Any]:  # noqa: ANN401  Dask publishes no types
    """How many jobs are not done, and which workers have none.

    Returns:
        training: jobs that need an accelerator; others: those that do not; idle: names of
        workers; slots: by name, the jobs of both sorts that a worker runs side by side.
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
    """Sends no worker away that trains, or that is of a kind which only trains.

    For clusters that are scaled from elsewhere, such as an operator: it asks the scheduler whom
    to stop, and knows nothing of members or of kinds of workers.
    """

    name = "overlap-keep-trainers"

    def valid_workers_downscaling(self, scheduler: Any, workers: list[Any]) -> list[Any]:  # noqa: ANN401
        """The workers that may be stopped."""
        two_kinds = not all(offers_training(_facts(w)) for w in scheduler.workers.values())
        return [
            w for w in workers if not (_trains(w) or (two_kinds and offers_training(_facts(w))))
        ]


def _trains(worker: Any) -> bool:  # noqa: ANN401
    return any(task.resource_restrictions for task in worker.processing)


def _facts(worker: Any) -> Mapping[str, Any]:  # noqa: ANN401
    """What is told of a worker outside of the scheduler."""
    return {"nthreads": worker.nthreads, "resources": worker.resources}
