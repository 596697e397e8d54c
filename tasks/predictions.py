"""The tasks that predict clips: jobs on training workers, then one table."""

from collections.abc import Callable, Mapping, Sequence
from threading import Event
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from overlap.io.location import Location
from overlap.prediction.here import PredictReport, apply_here, apply_job, write_table
from overlap.prediction.jobs import PredictionJob, PredictionPlan, clips_of
from overlap.system.resources.accelerators import shared_by
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.members import TrainingJob, on_training_worker, stopped_on_error
from tasks.on_worker import places_on_this_worker, report, still_wanted
from tasks.progress import TERMINAL, Stage, note, stage


def apply_on_worker(job: PredictionJob, topic: str) -> None:
    """Predict files with an ensemble in a child process; runs on a worker."""
    extra = shared_by(places_on_this_worker())
    apply_job(job, lambda event: report(topic, event), still_wanted(), extra)


@task(name="apply", task_run_name="{name}", cache_policy=NO_CACHE)
def apply_ensemble(
    scheduler: Cluster, job: PredictionJob, number: int, name: str, progress: Stage, stop: Event
) -> int:
    """Predict the files of a job and return their number; cancelled when `stop` is set."""
    moved = _clips_shown_on(progress)
    if scheduler == NO_CLUSTER:
        apply_here(job, moved, lambda: not stop.is_set())
    else:
        work = TrainingJob(apply_on_worker, (job,), name, number)
        on_training_worker(scheduler, work, stop, moved)
    moved({"done": len(job.files)})
    return len(job.files)


def apply_to_all(scheduler: Cluster, jobs: Sequence[PredictionJob], what: str) -> None:
    """Within a flow: run jobs concurrently.

    Args:
        scheduler: The cluster; without one (`NO_CLUSTER`) the jobs run in children of this process.
        jobs: The jobs.
        what: Label of their progress.
    """
    with (
        stage(
            f"{what} (clips)", clips_of(jobs), unit="clip", waits_for="the first results"
        ) as progress,
        stopped_on_error() as stop,
    ):
        futures = [
            apply_ensemble.submit(scheduler, job, number, f"{what}, part {number}", progress, stop)
            for number, job in enumerate(jobs, 1)
        ]
        for future in futures:
            future.result()


@task(name="table", cache_policy=NO_CACHE)
def write_predictions(plan: PredictionPlan, out: Location, computed: int) -> PredictReport:
    """Write the table of a plan whose jobs are complete."""
    return write_table(plan, out, computed, note)


def _clips_shown_on(progress: Stage) -> Callable[[Mapping[str, Any]], None]:
    """Return a callback that adds one job's progress to the shared bar; a restart subtracts it."""
    seen, logger = 0, get_run_logger()  # events arrive in a thread without a task run

    def on_event(event: Mapping[str, Any]) -> None:
        nonlocal seen
        if event.get("event") == "note":
            logger.warning(event["text"])
            TERMINAL.note(event["text"])
            return
        seen, more = event["done"], event["done"] - seen
        progress.advance(more)

    return on_event
