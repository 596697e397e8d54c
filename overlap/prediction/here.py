"""Predicts on this machine, without Prefect and Dask: jobs in child processes, then one table."""

import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from overlap.io.location import Location
from overlap.prediction.jobs import PredictionJob, PredictionPlan
from overlap.prediction.table import prediction_table
from overlap.system.child_process import run_child
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.signals import block_sigint
from overlap.training.backends.choice import check_backend


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


def apply_here(
    job: PredictionJob,
    on_event: Callable[[Mapping[str, Any]], None],
    wanted: Callable[[], bool] = lambda: True,
) -> None:
    """Predict files as a training worker of a local cluster does, without a cluster.

    Args:
        job: The job.
        on_event: Receives reports: `{"done": clips}`, or `{"event": "note", "text": ...}`.
        wanted: Called once a second; the prediction is cancelled when it returns False.

    Raises:
        ChildError: The process failed.
    """
    device = next(iter(visible_accelerators()), "")
    with block_sigint():  # the parent ends the child
        apply_job(job, on_event, wanted, {"CUDA_VISIBLE_DEVICES": device})


def apply_job(
    job: PredictionJob,
    on_event: Callable[[Mapping[str, Any]], None],
    wanted: Callable[[], bool],
    extra: Mapping[str, str],
) -> None:
    """Predict files with an ensemble in a child process.

    Args:
        job: The job.
        on_event: See `apply_here`.
        wanted: See `apply_here`.
        extra: Variables that are added to the child's environment.

    Raises:
        ChildError: The process failed.
    """
    check_backend()
    with tempfile.TemporaryDirectory(prefix="overlap-predict-") as folder:
        location = Location(f"{folder}/job.json")
        location.write_record(job)
        run_child("overlap.prediction.worker", [str(location)], on_event, wanted, extra=extra)


def write_table(
    plan: PredictionPlan, out: Location, computed: int, note: Callable[[str], None]
) -> PredictReport:
    """Write the table of a plan whose jobs are complete.

    Args:
        plan: The plan.
        out: Where the user wants the table.
        computed: Clips that were predicted now.
        note: Receives lines about repaired and unusable clips.

    Raises:
        DataError: No clip is usable.
        CorruptError: A chunk is missing or damaged.
    """
    made = prediction_table(plan)
    for warning in made.warnings:
        note(warning)
    made.write(out)
    return PredictReport(
        out=str(out), clips=len(made.table), computed=computed, imputed=made.imputed
    )
