"""The plan of a run: its work, memory, disk and time. The workspace is not modified."""

import math
from dataclasses import dataclass

import numpy as np

from overlap.catalog.build import check_tables
from overlap.config import RunConfig
from overlap.features.compute import Backend, select_backend
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.system.resources.accelerators import usable_bytes, visible_accelerators
from overlap.system.resources.sharing import local_trainings
from overlap.training.feed.memory_plan import MemoryPlan, plan_memory
from overlap.training.spec import load_record
from overlap.workspace.pending import pending_work
from overlap.workspace.throughput import calibrate
from overlap.workspace.workspace import Workspace


@dataclass(frozen=True)
class RunPlan:
    """The work of a run that would start now."""

    train_clips: int
    test_clips: int
    clips_to_check: int
    """Clips that are new or changed since the catalogue was written."""
    blocks: int
    blocks_to_compute: int
    way: Backend
    """Implementation that computes the features: the kernel, or `batched` if unsupported."""
    feature_bytes: int
    """Size of the complete store, bytes."""
    bytes_to_write: int
    """Part of it that is still to be written, bytes."""
    clips_per_core_second: float
    """Clips from file to store per second on one core, measured on a sample of the clips."""
    feature_seconds: float
    """Seconds from the first job until all features are complete: start of the workers, checks of
    new clips, and missing blocks. The start of Prefect and the cluster is not included."""
    worker_bytes: int
    """Peak memory of a process that computes features, bytes, measured."""
    members: int
    members_to_train: int
    feed: MemoryPlan
    """How features reach the network in training."""
    members_at_once: int
    """Members that train at the same time in a local cluster; 1 for other clusters."""
    member_seconds: float | None
    """Seconds per member, from earlier members of the same shape; None if there are none."""

    @property
    def training_seconds(self) -> float | None:
        """Seconds until all members are trained; None if the time of a member is unknown."""
        if self.member_seconds is None:
            return None
        return self.member_seconds * math.ceil(self.members_to_train / self.members_at_once)

    @property
    def upper_bound(self) -> bool:
        """Whether blocks, bytes, members and times are upper bounds.

        They are while clips are unchecked: a changed file may contain the same sound, and test
        clips retrain no member.
        """
        return self.clips_to_check > 0


def plan_run(config: RunConfig, cpu_workers: int) -> RunPlan:
    """Compare data and workspace, and measure the feature stage for two seconds.

    Args:
        config: The run.
        cpu_workers: Number of CPU workers that will compute features.

    Raises:
        DataError: there is no data, or its names or tables are invalid.
    """
    listing = Workspace.of(config.workspace).list_data(config)
    check_tables(listing, config.checks)
    pending, rows = pending_work(config, listing), len(listing.files)
    measured = calibrate(listing, config.features, config.store)
    raw = config.features.clip_bytes
    per_clip = raw if config.store.compression == "none" else measured.stored_bytes
    work = pending.clips * measured.check_seconds + pending.block_rows * measured.compute_seconds
    train = int((listing.files["split"] == "train").sum())
    at_once = _members_at_once(config)
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
            config.features.clip_bytes,
            config.store.chunk_clips,
            train,
            config.training,
            device_bytes=usable_bytes() // config.cluster.members_per_gpu,
            trainings=at_once,
        ),
        members_at_once=at_once,
        member_seconds=_member_seconds(config, train),
    )


def _members_at_once(config: RunConfig) -> int:
    cluster = config.cluster
    if not cluster.is_local:
        return 1
    return math.prod(
        local_trainings(
            config.ensemble.at_once,
            len(visible_accelerators()),
            cluster.training_workers,
            cluster.members_per_gpu,
        )
    )


def _member_seconds(config: RunConfig, train: int) -> float | None:
    """Estimate from the speed of earlier members with this network and batch size."""
    paths = WorkspacePaths(Location.of(config.workspace))
    known = [load_record(paths.member(name).folder) for name in paths.members.folders()]
    speeds = [
        record.clips_per_second
        for record in known
        if record is not None
        and record.spec.network == config.network
        and record.spec.training.batch_size == config.training.batch_size
    ]
    return config.training.epochs * train / float(np.median(speeds)) if speeds else None
