"""Trains what is missing of the benchmark, as many at once as a run would train."""

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from overlap.bench.quality.recipes import REFERENCE, Recipe, configuration
from overlap.bench.quality.records import TrainingJob
from overlap.bench.quality.sets import DataSet
from overlap.system.child_process import run_child
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.sharing import local_trainings, sharing_environment

CHILD = "overlap.bench.quality.training"


@dataclass(frozen=True)
class Plan:
    """What is compared, apart from the data sets."""

    recipes: tuple[Recipe, ...]
    passes: tuple[int, ...]
    """Numbers of passes of the reference, each a schedule of its own; recipes with a cheaper pass
    make more (`Recipe.passes`)."""
    reference_passes: tuple[int, ...]
    """Further numbers of passes of the reference, so that it has a KL at other times."""
    seeds: int
    width: float
    settings: tuple[str, ...] = ()
    """Settings of every recipe, before its own."""

    def settings_of(self, recipe: Recipe) -> tuple[str, ...]:
        """Return the settings of a recipe, after `COMMON`."""
        return (*self.settings, *recipe.settings)

    def passes_of(self, recipe: Recipe) -> tuple[int, ...]:
        """Return the numbers of passes of a recipe, ascending."""
        more = self.reference_passes if recipe.name == REFERENCE else ()
        return tuple(sorted({*(recipe.passes(one) for one in self.passes), *more}))


def jobs_of(plan: Plan, root: Path, sets: Sequence[DataSet]) -> list[TrainingJob]:
    """Return all trainings: every recipe with its first seed before any with its second.

    Args:
        plan: What is compared.
        root: Folder of the benchmark.
        sets: The data sets.

    Raises:
        ConfigError: The settings of a recipe are invalid.
    """
    for recipe in plan.recipes:
        configuration(
            plan.settings_of(recipe), data=str(root), workspace=str(root), width=plan.width,
            passes=plan.passes[0], seeds=plan.seeds,
        )  # fmt: skip
    return [
        TrainingJob(
            root=str(root), data_set=one.kind.name, set_folder=str(one.folder),
            recipe=recipe.name, settings=plan.settings_of(recipe), passes=passes,
            width=plan.width, seed=seed,
        )
        for seed in range(plan.seeds)
        for one in sets
        for recipe in plan.recipes
        for passes in plan.passes_of(recipe)
    ]  # fmt: skip


def train_missing(
    jobs: Sequence[TrainingJob],
    on_event: Callable[[TrainingJob, Mapping[str, Any]], None] = lambda _job, _event: None,
) -> int:
    """Train every job that has no record; each record is written when its training is complete.

    With an accelerator they run one by one. Otherwise several run at once, with one thread or a few
    each; their number follows from all jobs, so that a repeated command has as many threads.

    Args:
        jobs: The trainings.
        on_event: Called with a job and each event of its training, in the job's thread.

    Returns:
        The number of trainings that were missing.

    Raises:
        ChildError: The process of a training failed; what is complete remains.
    """
    missing = [job for job in jobs if job.finished() is None]
    _, at_once = local_trainings(len(jobs), len(visible_accelerators()), None, 1)
    environment = sharing_environment(at_once)
    stopped = threading.Event()

    def train(job: TrainingJob) -> None:
        if stopped.is_set():
            return
        run_child(
            CHILD,
            [json.dumps(asdict(job))],
            lambda event: on_event(job, event),
            wanted=lambda: not stopped.is_set(),
            log=job.folder / "training.log",
            extra=environment,
        )

    with ThreadPoolExecutor(at_once) as threads:
        futures = [threads.submit(train, job) for job in missing]
        try:
            done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        finally:  # after a failure or an interrupt, the other trainings end early
            stopped.set()
        failures = [error for future in done if (error := future.exception())]
        if failures:
            raise failures[0]
    return len(missing)
