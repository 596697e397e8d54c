"""The task that builds the catalogue, with the clips inspected on the cluster."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from overlap.catalog import Listing, build_catalog
from overlap.catalog.inspection import InspectionJobs
from overlap.config import ChecksConfig, FeatureConfig
from overlap.workspace.costs import StageCost, add_cost
from overlap.workspace.workspace import Workspace
from tasks.cluster import NO_CLUSTER, Cluster, connect
from tasks.fan_out import fanned_out
from tasks.progress import copied_to_parent, doing, note, stage

Job = TypeVar("Job")
Result = TypeVar("Result")


@task(name="catalogue", cache_policy=NO_CACHE)
def catalogue(
    scheduler: Cluster,
    listing: Listing,
    workspace: Workspace,
    features: FeatureConfig,
    checks: ChecksConfig,
) -> dict[str, int]:
    """Check every clip, assign it a row, and return the counts of clips by split and state."""
    workspace.find_store(features)  # refuse other features before anything is replaced
    started, wanted = time.perf_counter(), features.clip_format

    def run(function: Callable[[Job], Result], jobs: Sequence[Job]) -> Iterator[Result]:
        if len(jobs) == 1 or scheduler == NO_CLUSTER:  # not worth sending to a worker
            yield from map(function, jobs)
            return
        clips = cast("InspectionJobs", jobs).files
        with (
            connect(scheduler) as client,
            stage("checking clips", clips, unit="clip") as progress,
        ):
            progress.start()
            shown: Callable[[Any], None] = lambda checked: progress.advance(len(checked))  # noqa: E731
            yield from fanned_out(client, scheduler, function, jobs, shown)

    with doing("checking the data"):
        built = build_catalog(listing, wanted, checks, workspace.find_catalog(), run)
    workspace.save_catalog(built.catalog)
    if built.inspected:
        cost = StageCost(clips=built.inspected, seconds=time.perf_counter() - started)
        add_cost(workspace.location, features, "check", cost)
    for warning in built.warnings:
        note(warning)
    if built.warnings:
        lines = "\n".join(f"- {warning}" for warning in built.warnings)
        create_markdown_artifact(f"# Data\n\n{lines}", description="Warnings about the data")
        copied_to_parent("markdown", f"# Data\n\n{lines}", "Warnings about the data")
    return built.catalog.counts()
