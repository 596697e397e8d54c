"""What a run would do: how much work, memory, disk and time; the workspace is not touched."""

from dataclasses import dataclass

import numpy as np

from overlap.catalog import list_data
from overlap.catalog.build import check_tables
from overlap.config import RunConfig
from overlap.features.compute import Backend, select_backend
from overlap.io.location import Location
from overlap.system.accelerators import usable_bytes
from overlap.training.feed.memory_plan import MemoryPlan, plan_memory
from overlap.training.spec import MEMBERS, load_record
from overlap.workspace.pending import pending_work
from overlap.workspace.throughput import calibrate


@dataclass(frozen=True)
class RunPlan:
    """The work of a run that was started now."""

    train_clips: int
    test_clips: int
    clips_to_check: int
    """Clips that are new or changed since the catalogue was made."""
    blocks: int
    blocks_to_compute: int
    way: Backend
    """What computes the features: the kernel, or the batched way for what that cannot do."""
    feature_bytes: int
    """Size of the finished store."""
    bytes_to_write: int
    """Part of it that is still to be computed."""
    clips_per_core_second: float
    """Clips from file to store per second on one core, measured now on some of the clips."""
    feature_seconds: float
    """Time until all features are there, from the first job on: the workers' own start, checking
    new clips, and computing what is missing. Prefect and the cluster start before that."""
    worker_bytes: int
    """Largest memory of a process that computes features, measured now."""
    members: int
    members_to_train: int
    feed: MemoryPlan
    """How the features reach the network."""
    member_seconds: float | None
    """Time per member, from an earlier member of the same shape; None: not known yet."""


def plan_run(config: RunConfig, cpu_workers: int) -> RunPlan:
    """Look at data and workspace, and measure the feature stage for two seconds.

    Args:
        config: The run.
        cpu_workers: CPU workers that will compute features.

    Raises:
        DataError: there is no data, or its names and tables are wrong.
    """
    listing = list_data(config.data)
    check_tables(listing)
    pending, rows = pending_work(config, listing), len(listing.files)
    measured = calibrate(listing, config.features, config.store)
    raw = 2 * int(np.prod(config.features.shape))
    per_clip = raw if config.store.compression == "none" else measured.stored_bytes
    work = pending.clips * measured.check_seconds + pending.block_rows * measured.compute_seconds
    train = int((listing.files["split"] == "train").sum())
    return RunPlan(
        train_clips=train,
        test_clips=rows - train,
        clips_to_check=pending.clips,
        blocks=pending.blocks_in_all,
        blocks_to_compute=pending.blocks,
        way=select_backend(config.features),
        feature_bytes=round(rows * per_clip),
        bytes_to_write=round(pending.block_rows * per_clip),
        clips_per_core_second=1 / measured.compute_seconds,
        feature_seconds=measured.start_seconds + work / cpu_workers if pending.features else 0.0,
        worker_bytes=measured.worker_bytes,
        members=config.ensemble.members,
        members_to_train=pending.members,
        feed=plan_memory(
            config.features.shape,
            config.store.chunk_clips,
            train,
            config.training,
            device_bytes=usable_bytes() // config.cluster.members_per_gpu,
        ),
        member_seconds=_member_seconds(config, train),
    )


def _member_seconds(config: RunConfig, train: int) -> float | None:
    """Epochs times clips by the speed of earlier members with this network and batch."""
    members = Location.of(config.workspace) / MEMBERS
    known = [load_record(members / name) for name in members.folders()]
    speeds = [
        record.clips_per_second
        for record in known
        if record is not None
        and record.spec.network == config.network
        and record.spec.training.batch_size == config.training.batch_size
    ]
    return config.training.epochs * train / float(np.median(speeds)) if speeds else None
