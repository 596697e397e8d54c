"""The tasks that compute features, one Dask job per missing block, and measure drift."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from overlap.catalog import stored_rows
from overlap.config import FeatureConfig, StoreConfig
from overlap.features import BlockDone, BlockJob, FeatureStore, block_jobs, extract_block
from overlap.features.compare import ComparisonSet, DriftRow, compare
from overlap.features.compute import Backend, select_backend, unsupported_reason, warm_up
from overlap.io.location import Location
from overlap.reporting.result_tables import DRIFT_LEGEND, drift_table
from overlap.system.resources.energy import Readings, joules_of
from overlap.workspace.costs import StageCost, add_cost
from overlap.workspace.workspace import Workspace
from tasks.cluster import Cluster, connect
from tasks.fan_out import fan_out, on_every_worker
from tasks.progress import copied_to_parent, doing, note, stage
from tasks.workers import WorkerPool


@dataclass(frozen=True)
class FeatureReport:
    """The results of a feature stage."""

    blocks: int
    """Blocks of the store."""
    written: int
    """Blocks that this stage computed."""
    clips: int
    """Clips that this stage computed."""
    seconds: float
    """Wall time."""
    joules: float | None = None
    """Energy of the workers' machines during the stage; None where it is not measured."""
    busy: float | None = None
    """Fraction of the workers' time spent on blocks, from the first job to the last result."""
    way: Backend = "kernel"
    """Implementation that computed the features."""
    drift: tuple[DriftRow, ...] = ()
    """Drift between test and training clips, and between both and another data set."""


@task(name="features", cache_policy=NO_CACHE)
def extract_features(
    scheduler: Cluster, workspace: Workspace, features: FeatureConfig, store: StoreConfig
) -> FeatureReport:
    """Compute the missing blocks."""
    reason = unsupported_reason(features)
    if reason is not None:
        note(reason)
    report = compute_missing(scheduler, workspace.location, features, store)
    workspace.features_changed()
    return report


def compute_missing(
    scheduler: Cluster,
    workspace: Location,
    features: FeatureConfig,
    cut: StoreConfig,
    compute: Callable[[BlockJob], BlockDone] = extract_block,
) -> FeatureReport:
    """Compute the missing blocks with any function that computes one.

    Clips and jobs are read and created as needed, and never all in memory.
    """
    started = time.perf_counter()
    clips, busy = 0, None
    energy: list[Readings | None] = []
    with stored_rows(workspace) as rows:
        store = FeatureStore.create(workspace, features, cut)
        store.sync(rows)
        missing = store.missing(rows)
        if missing:
            total = sum(block.clips for block in missing)
            with (
                connect(scheduler) as client,
                stage(
                    "features (clips)", total, unit="clip", waits_for="the workers' first jobs"
                ) as progress,
            ):
                places = WorkerPool(client, scheduler)
                if len(missing) > len(places.addresses):
                    on_every_worker(client, places.addresses, warm_up, features)
                begun, in_blocks = time.perf_counter(), 0.0
                progress.start()

                def on_block(done: BlockDone) -> None:
                    nonlocal clips, in_blocks
                    clips, in_blocks = clips + done.clips, in_blocks + done.seconds
                    energy.append(done.energy)
                    progress.advance(done.clips)

                fan_out(client, scheduler, compute, block_jobs(workspace, rows, missing), on_block)
                places.look()
                threads = max(1, places.threads)
                busy = in_blocks / (threads * (time.perf_counter() - begun))
        seconds = time.perf_counter() - started
        cost = StageCost(clips=clips, seconds=seconds, joules=joules_of(energy))
        if missing:
            add_cost(workspace, features, "features", cost)
        return FeatureReport(
            blocks=store.block_count(rows),
            written=len(missing),
            clips=clips,
            seconds=cost.seconds,
            joules=cost.joules,
            busy=busy,
            way=select_backend(features),
        )


@task(name="drift", cache_policy=NO_CACHE)
def measure_drift(
    workspace: Workspace, other: ComparisonSet | None, top_db: float
) -> tuple[DriftRow, ...]:
    """Compare test with train, and both with another data set, by the stores' histograms."""
    with doing("measuring the drift"):
        rows = compare(workspace.store, other, top_db)
    if rows:
        where = f" Other: {other.address}." if other else ""
        table = drift_table(rows)
        create_table_artifact(key="drift", table=table, description=DRIFT_LEGEND + where)
        copied_to_parent("table", json.dumps(table), DRIFT_LEGEND + where)
    return rows
