"""The features: one Dask job per block that is not done, then how far data sets are apart."""

import time
from collections.abc import Callable

from prefect import task
from prefect.artifacts import create_table_artifact
from prefect.cache_policies import NO_CACHE

from overlap.catalog import stored_rows
from overlap.config import FeatureConfig, Section, StoreConfig
from overlap.features import BlockDone, BlockJob, FeatureStore, block_jobs, extract_block
from overlap.features.compare import ComparisonSet, DriftRow, compare
from overlap.features.compute import Backend, select_backend, unsupported_reason, warm_up
from overlap.io.location import Location
from overlap.reporting.tables import DRIFT_LEGEND, drift_table
from overlap.system.energy import Readings, joules_of
from overlap.workspace.costs import StageCost, add_cost
from tasks.cluster import Cluster, connect
from tasks.fan_out import fan_out, on_every_worker
from tasks.progress import note, stage
from tasks.workers import WorkerPool


class FeatureReport(Section):
    """What a feature stage did."""

    blocks: int
    """Blocks of the store."""
    written: int
    """Blocks computed now."""
    clips: int
    """Clips computed now."""
    seconds: float
    """Wall time."""
    joules: float | None = None
    """Energy of the workers' machines meanwhile; None where they do not tell."""
    busy: float | None = None
    """Part of the workers' time, from the first job to the last result, spent in blocks."""
    way: Backend = "kernel"
    """What computes the features of this configuration."""
    drift: tuple[DriftRow, ...] = ()
    """How far test clips are from training clips, and both from another data set."""


@task(name="features", cache_policy=NO_CACHE)
def extract_features(
    scheduler: Cluster, workspace: Location, features: FeatureConfig, cut: StoreConfig
) -> FeatureReport:
    """Compute the blocks that are missing."""
    reason = unsupported_reason(features)
    if reason is not None:
        note(reason)
    return compute_missing(scheduler, workspace, features, cut)


def compute_missing(
    scheduler: Cluster,
    workspace: Location,
    features: FeatureConfig,
    cut: StoreConfig,
    compute: Callable[[BlockJob], BlockDone] = extract_block,
) -> FeatureReport:
    """Compute the blocks that are missing, whatever computes one.

    Neither the clips nor the jobs are ever in memory together.
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
            with connect(scheduler) as client, stage("features (clips)", total) as progress:
                places = WorkerPool(client, scheduler)
                if len(missing) > len(places.addresses):
                    on_every_worker(client, places.addresses, warm_up, features)
                begun, in_blocks = time.perf_counter(), 0.0

                def on_block(done: BlockDone) -> None:
                    nonlocal clips, in_blocks
                    clips, in_blocks = clips + done.clips, in_blocks + done.seconds
                    energy.append(done.energy)
                    rate = clips / (time.perf_counter() - begun)
                    progress.advance(done.clips, f"{rate:,.0f} clips/s")

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
    workspace: Location, other: ComparisonSet | None, top_db: float
) -> tuple[DriftRow, ...]:
    """Compare test with train, and both with another data set, from the stores' counts."""
    rows = compare(FeatureStore.open(workspace), other, top_db)
    if rows:
        where = f" Other: {other.address}." if other else ""
        create_table_artifact(
            key="drift", table=drift_table(rows), description=DRIFT_LEGEND + where
        )
    return rows
