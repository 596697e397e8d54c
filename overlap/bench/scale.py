"""Time and memory of a feature stage's driver for any number of clips, without sound.

A synthetic catalogue is written one row group at a time. The real stage runs over it with a block
function that writes only done markers and counts. The peak memory is that of the process, so
`drive` must be called in a new process.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass

import numpy as np
import pandas as pd

from overlap.bench.phases import Phase, PhaseRecorder
from overlap.catalog import stored_rows
from overlap.catalog.rows import GROUP_ROWS, LABEL, OK, write_rows
from overlap.config import FeatureConfig, StoreConfig
from overlap.features import BlockDone, BlockJob, FeatureStore
from overlap.features.statistics import CODES
from overlap.features.store.layout import KEY_BYTES, SPLITS
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.workspace.status import read_status

WORDS = ("bed", "bird", "cat", "dog", "down", "eight")
TEST_SHARE = 11
"""One of this many clips is a test clip, as in the task: 10,000 of 110,000."""

Stage = Callable[[Location, FeatureConfig, StoreConfig, Callable[[BlockJob], BlockDone]], object]
"""The feature stage on a cluster; its last argument computes a block."""


@dataclass(frozen=True)
class ScaleReport:
    """Time and memory of the driver of a feature stage."""

    clips: int
    blocks: int
    blocks_missing: int
    """Blocks that are missing after the stage; 0 in a correct run."""
    catalogue_mb: float
    """Size of `catalog.parquet`, MB."""
    phases: tuple[Phase, ...]
    """Phases of the process that runs the stage over the stored catalogue."""
    catalogue: tuple[Phase, ...] = ()
    """Phases of the process that builds the catalogue and compares it; empty if not measured."""

    @property
    def peak_mb(self) -> float:
        """Peak resident memory of the driver of the stage, MB."""
        return max(phase.peak_mb for phase in self.phases)

    @property
    def catalogue_peak_mb(self) -> float | None:
        """Peak resident memory of the process that builds the catalogue, MB, if measured."""
        return max((phase.peak_mb for phase in self.catalogue), default=None)

    @property
    def catalogue_unreclaimable_mb(self) -> float | None:
        """The largest part of `catalogue_peak_mb` that belongs to no file, MB, if measured."""
        return max((phase.unreclaimable_mb for phase in self.catalogue), default=None)

    @property
    def bytes_per_clip(self) -> float:
        """Memory added after the start of the cluster, per clip, bytes."""
        return (self.peak_mb - self.phases[0].peak_mb) * 1e6 / self.clips


def write_catalogue(workspace: Location, clips: int) -> None:
    """Write a catalogue of clips without files, one row group at a time."""
    about = {"data": "/data", "rate_hz": "16000", "samples": "16000"}
    write_rows(WorkspacePaths(workspace).catalog, _frames(clips), about)


def mark_block(job: BlockJob) -> BlockDone:
    """Mark a block as done without computing it; its counts contain two values."""
    started = time.perf_counter()
    store = FeatureStore.open(job.workspace, read_only=False)
    histogram = np.zeros((len(SPLITS), len(store.config.resolutions), CODES), np.uint32)
    quiet, loud = np.array([-20, 0], np.float16).view(np.uint16)
    histogram[..., [quiet, loud]] = 1
    store.invalidate_if_stale(job.block)
    store.mark_done(job.block, histogram, bytes(KEY_BYTES))
    return BlockDone(job.block.index, job.block.clips, time.perf_counter() - started)


def drive(
    workspace: Location, open_stage: Callable[[], AbstractContextManager[Stage]]
) -> ScaleReport:
    """Run a feature stage over the catalogue of a workspace, and measure this process.

    Args:
        workspace: A workspace with a catalogue.
        open_stage: Starts a cluster and returns the feature stage on it.
    """
    features, layout, phases = FeatureConfig(), StoreConfig(), PhaseRecorder()
    with ExitStack() as opened:
        with phases.phase("start a cluster"):
            stage = opened.enter_context(open_stage())
        rows = opened.enter_context(stored_rows(workspace))
        with phases.phase("write the rows of all clips"):
            store = FeatureStore.create(workspace, features, layout)
            store.sync(rows)
        with phases.phase("find missing blocks"):
            blocks = len(store.missing(rows))
        with phases.phase("the stage: all blocks"):
            stage(workspace, features, layout, mark_block)
        with phases.phase("the stage again: no blocks"):
            stage(workspace, features, layout, mark_block)
        with phases.phase("statistics of all blocks"):
            store.normalisation("joint", 80.0)
        with phases.phase("status of the workspace"):
            read_status(workspace)
        return ScaleReport(
            clips=len(rows),
            blocks=blocks,
            blocks_missing=len(store.missing(rows)),
            catalogue_mb=WorkspacePaths(workspace).catalog.size() / 1e6,
            phases=tuple(phases.done),
        )


def _frames(clips: int) -> Iterator[pd.DataFrame]:
    random = np.random.default_rng(0)
    for start in range(0, clips, GROUP_ROWS):
        numbers = np.arange(start, min(start + GROUP_ROWS, clips))
        test = numbers >= clips - clips // TEST_SHARE
        ids = [f"clip_{number:08d}" for number in numbers]
        split = np.where(test, "test", "train")
        hexadecimal = random.bytes(KEY_BYTES * len(ids)).hex()
        stamp = 1_700_000_000_000_000_000 + numbers * 1_000_003
        labels = random.dirichlet(np.ones(len(WORDS)), len(ids))
        labels[test] = np.nan
        yield pd.DataFrame(
            {
                "split": split,
                "clip_id": ids,
                "file": [f"{s}/{i}.wav" for s, i in zip(split, ids, strict=True)],
                "version": [f"32044-{n}-{t}-{t}" for n, t in zip(numbers, stamp, strict=True)],
                "table_id": ids,
                "position": np.where(test, numbers, -1),
                "group": [f"g{number % 10:02d}" for number in numbers],
                "digest": [hexadecimal[32 * i : 32 * (i + 1)] for i in range(len(ids))],
                "repairs": "",
                "clipped": False,
                "reason": "",
                "state": OK,
                **{LABEL + word: labels[:, index] for index, word in enumerate(WORDS)},
            }
        )
