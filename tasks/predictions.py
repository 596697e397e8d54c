"""The tasks that predict clips: jobs on training workers, then one table."""

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from threading import Event
from typing import Any

from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE

from overlap.errors import StorageError
from overlap.io.location import Location
from overlap.prediction.jobs import PredictionJob, PredictionPlan, clips_of
from overlap.prediction.retention import KEPT_FOR, mark_used, remove_old_predictions
from overlap.prediction.table import prediction_table
from overlap.system.child_process import run_child
from overlap.system.resources.accelerators import shared_by, visible_accelerators
from overlap.system.signals import block_sigint
from overlap.training.backends.choice import check_backend
from tasks.cluster import NO_CLUSTER, Cluster
from tasks.members import TrainingJob, on_training_worker, stopped_on_error
from tasks.on_worker import places_on_this_worker, report, still_wanted
from tasks.progress import TERMINAL, Stage, note, stage


@dataclass(frozen=True)
class PredictReport:
    """The results of a prediction."""

    out: str
    """Address of the table."""
    clips: int
    """Its rows."""
    computed: int
    """Clips that this run predicted; an earlier run predicted the others."""
    imputed: tuple[str, ...]
    """Ids of unusable clips; their rows contain the mean prediction."""


def apply_on_worker(job: PredictionJob, topic: str) -> None:
    """Predict files with an ensemble in a child process; runs on a worker."""
    extra = shared_by(places_on_this_worker())
    _apply(job, lambda event: report(topic, event), still_wanted(), extra)


def apply_here(
    job: PredictionJob, on_event: Callable[[Mapping[str, Any]], None], stop: Event
) -> None:
    """Predict files as a training worker of a local cluster does, without a cluster."""
    device = next(iter(visible_accelerators()), "")
    with block_sigint():  # the child ends when `stop` is set
        _apply(job, on_event, lambda: not stop.is_set(), {"CUDA_VISIBLE_DEVICES": device})


def _apply(
    job: PredictionJob,
    on_event: Callable[[Mapping[str, Any]], None],
    wanted: Callable[[], bool],
    extra: Mapping[str, str],
) -> None:
    check_backend()
    with tempfile.TemporaryDirectory(prefix="overlap-predict-") as folder:
        location = Location(f"{folder}/job.json")
        location.write_record(job)
        run_child("overlap.prediction.worker", [str(location)], on_event, wanted, extra=extra)


@task(name="apply", task_run_name="{name}", cache_policy=NO_CACHE)
def apply_ensemble(
    scheduler: Cluster, job: PredictionJob, number: int, name: str, progress: Stage, stop: Event
) -> int:
    """Predict the files of a job and return their number; cancelled when `stop` is set."""
    moved = _clips_shown_on(progress)
    if scheduler == NO_CLUSTER:
        apply_here(job, moved, stop)
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
    made = prediction_table(plan)
    for warning in made.warnings:
        note(warning)
    made.write(out)
    return PredictReport(
        out=str(out), clips=len(made.table), computed=computed, imputed=made.imputed
    )


def keep_used_predictions(workspace: Location, jobs: Sequence[PredictionJob]) -> None:
    """Within a flow: mark the chunks of some jobs as used, and remove those unused for long.

    The prediction itself does not depend on it: a workspace that cannot be written gets a note.
    """
    try:
        for folder in {Location(job.out).parent for job in jobs}:
            mark_used(folder)
        removed = remove_old_predictions(workspace)
    except StorageError as error:
        note(f"old predictions are not removed: {error}")
        return
    if removed:
        note(f"removed: {len(removed)} predictions that were not used for {KEPT_FOR.days} days")


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
