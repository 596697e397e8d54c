"""The feature stage at any number of clips, without their sound: what its driver needs.

A synthetic catalogue is written a row group at a time, and the real stage runs over it with a
block function that writes a block's done marker and nothing else. The largest memory of the
driver is that of its process: `drive` is called in a fresh one.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass

import numpy as np
import pandas as pd

from overlap.catalog import stored_rows
from overlap.catalog.rows import GROUP_ROWS, LABEL, OK, write_rows
from overlap.config import FeatureConfig, StoreConfig
from overlap.features import BlockDone, BlockJob, FeatureStore
from overlap.features.statistics import CODES
from overlap.features.store.layout import KEY_BYTES, SPLITS
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.system.memory import peak_memory_mb

WORDS = ("bed", "bird", "cat", "dog", "down", "eight")
TEST_SHARE = 11
"""One clip of so many is a test clip, as in the task: 10,000 of 110,000."""

Stage = Callable[[Location, FeatureConfig, StoreConfig, Callable[[BlockJob], BlockDone]], object]
"""The feature stage on some cluster; its last argument computes a block."""


@dataclass(frozen=True)
class Phase:
    """One phase of the driver's life."""

    name: str
    seconds: float
    peak_mb: float
    """Largest resident memory of the process up to the end of the phase, MB."""


@dataclass(frozen=True)
class ScaleReport:
    """What the driver of a feature stage needed."""

    clips: int
    blocks: int
    blocks_missing: int
    """Blocks that are missing after the stage: 0, or something is wrong."""
    catalogue_mb: float
    """Size of `catalog.parquet`, MB."""
    phases: tuple[Phase, ...]

    @property
    def peak_mb(self) -> float:
        """Largest resident memory of the driver, MB."""
        return self.phases[-1].peak_mb

    @property
    def bytes_per_clip(self) -> float:
        """Memory that came after the first phase, the start of the cluster, by the clips."""
        return (self.peak_mb - self.phases[0].peak_mb) * 1e6 / self.clips


class Phases:
    """Takes time and memory of one phase after the other.

    Attributes:
        done: The phases that are over.
    """

    def __init__(self) -> None:
        self.done: list[Phase] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure what happens inside."""
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.done.append(Phase(name=name, seconds=seconds, peak_mb=peak_memory_mb()))


def write_catalogue(workspace: Location, clips: int) -> None:
    """Write a catalogue of clips that do not exist, a row group at a time."""
    about = {"data": "/data", "rate_hz": "16000", "samples": "16000"}
    write_rows(WorkspacePaths(workspace).catalog, _frames(clips), about)


def mark_block(job: BlockJob) -> BlockDone:
    """Instead of computing a block: mark it as done, with the counts of a single value."""
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
    """Go through a feature stage over the catalogue of a workspace, and measure this process.

    Args:
        workspace: Holds a catalogue.
        open_stage: Starts a cluster, and gives the feature stage on it.
    """
    features, cut, phases = FeatureConfig(), StoreConfig(), Phases()
    with ExitStack() as opened:
        with phases.phase("start a cluster"):
            stage = opened.enter_context(open_stage())
        rows = opened.enter_context(stored_rows(workspace))
        with phases.phase("give every clip its row"):
            store = FeatureStore.create(workspace, features, cut)
            store.sync(rows)
        with phases.phase("find missing blocks"):
            blocks = len(store.missing(rows))
        with phases.phase("the stage: every block"):
            stage(workspace, features, cut, mark_block)
        with phases.phase("the stage again: no block"):
            stage(workspace, features, cut, mark_block)
        with phases.phase("statistics of all blocks"):
            store.normalisation("joint", 80.0)
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
