"""What a run would do: how much work, memory, disk and time; nothing is written."""

import contextlib
import time
from dataclasses import dataclass

import numpy as np
from threadpoolctl import threadpool_limits

from overlap.catalog import Listing, list_data
from overlap.catalog.inspection import load_clip
from overlap.config import RunConfig
from overlap.errors import AudioError
from overlap.features.batched import batched_features
from overlap.pending import pending_work
from overlap.storage import Location
from overlap.training.memory import MemoryPlan, plan_memory
from overlap.training.spec import MEMBERS, load_record

CALIBRATION_SECONDS = 2.0
CALIBRATION_CLIPS = 32


@dataclass(frozen=True)
class RunPlan:
    """The work of a run that was started now."""

    train_clips: int
    test_clips: int
    clips_to_check: int
    """Clips that are new or changed since the catalogue was made."""
    blocks: int
    blocks_to_compute: int
    feature_bytes: int
    """Size of the finished store, before compression."""
    bytes_to_write: int
    """Part of it that is still to be computed."""
    clips_per_core_second: float
    """Features computed per second on one core, measured now on some of the clips."""
    feature_seconds: float
    """Time for the missing features with the configured CPU workers."""
    members: int
    members_to_train: int
    feed: MemoryPlan
    """How the features reach the network."""
    member_seconds: float | None
    """Time per member, from an earlier member of the same shape; None: not known yet."""


def plan_run(config: RunConfig, cpu_workers: int) -> RunPlan:
    """Look at data and workspace, and measure for two seconds.

    Args:
        config: The run.
        cpu_workers: CPU workers that will compute features.

    Raises:
        DataError: there is no data.
    """
    listing = list_data(config.data)
    pending, rows = pending_work(config, listing), len(listing.files)
    per_clip = 2 * int(np.prod(config.features.shape))
    speed = _calibrate(listing, config)
    train = int((listing.files["split"] == "train").sum())
    return RunPlan(
        train_clips=train,
        test_clips=rows - train,
        clips_to_check=pending.clips,
        blocks=pending.blocks_in_all,
        blocks_to_compute=pending.blocks,
        feature_bytes=rows * per_clip,
        bytes_to_write=pending.block_rows * per_clip,
        clips_per_core_second=speed,
        feature_seconds=pending.block_rows / (speed * cpu_workers),
        members=config.ensemble.members,
        members_to_train=pending.members,
        feed=plan_memory(config.features.shape, config.store.chunk_clips, train, config.training),
        member_seconds=_member_seconds(config, train),
    )


def _calibrate(listing: Listing, config: RunConfig) -> float:
    """Clips per second on one core, from sound file to features."""
    wanted = config.features.clip_format
    files = listing.files["file"].to_numpy(object)
    random = np.random.default_rng(0)

    def compute_some() -> None:
        batch = []
        for file in random.choice(files, CALIBRATION_CLIPS):
            with contextlib.suppress(AudioError):
                batch.append(load_clip(listing.data, file, wanted).samples)
        if batch:
            batched_features(np.stack(batch), config.features)

    compute_some()  # fills caches
    clips, started = 0, time.perf_counter()
    with threadpool_limits(1):
        while (elapsed := time.perf_counter() - started) < CALIBRATION_SECONDS:
            compute_some()
            clips += CALIBRATION_CLIPS
    return clips / elapsed


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
