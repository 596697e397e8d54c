"""The feature fan-out: one Dask job per block that is not done."""

import time
from collections.abc import Sequence

from prefect import task
from prefect.cache_policies import NO_CACHE

from overlap.catalog import Catalog
from overlap.config import FeatureConfig, Section, StoreConfig
from overlap.features import BlockDone, BlockJob, FeatureStore, block_job, extract_block
from overlap.storage import Location
from tasks.cluster import connect, fan_out
from tasks.progress import stage


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


@task(name="features", cache_policy=NO_CACHE)
def extract_features(
    scheduler: str, workspace: Location, features: FeatureConfig, cut: StoreConfig
) -> FeatureReport:
    """Compute the blocks that are missing."""
    started = time.perf_counter()
    catalog = Catalog.load(workspace)
    store = FeatureStore.create(workspace, features, cut)
    store.sync(catalog)
    missing = store.missing(catalog)
    clips = 0
    if missing:
        jobs = [block_job(workspace, catalog, block) for block in missing]
        with connect(scheduler) as client, stage("features (clips)", _clips(jobs)) as progress:

            def on_block(done: BlockDone) -> None:
                rate = (progress.done + done.clips) / (time.perf_counter() - started)
                progress.advance(done.clips, f"{rate:,.0f} clips/s")

            clips = sum(done.clips for done in fan_out(client, extract_block, jobs, on_block))
    return FeatureReport(
        blocks=len(store.blocks(catalog)),
        written=len(missing),
        clips=clips,
        seconds=time.perf_counter() - started,
    )


def _clips(jobs: Sequence[BlockJob]) -> int:
    return sum(split >= 0 for job in jobs for split in job.splits)
