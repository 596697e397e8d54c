"""One block of clips, from sound files to features in the store: what a worker does."""

import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np
import xxhash
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.catalog.inspection import digest, load_clip
from overlap.config import AudioFormat, FeatureConfig
from overlap.errors import AudioError, DataError
from overlap.features.compute import compute_features
from overlap.features.statistics import CODES, count_codes
from overlap.features.store import SPLITS, Block, FeatureStore
from overlap.storage import Location

GROUP = 64
"""Clips decoded and transformed at once: whole groups of lanes of every processor."""


@dataclass(frozen=True)
class BlockJob:
    """Everything that a worker needs to compute one block."""

    workspace: Location
    """The workspace whose store it writes."""
    data: Location
    """The folder of the clips."""
    wanted: AudioFormat
    """The clip format."""
    block: Block
    """The rows."""
    files: tuple[str, ...]
    """File of each row, below `data`."""
    digests: tuple[str, ...]
    """Digest of each row's clip; empty where the row holds none."""
    splits: tuple[int, ...]
    """Index of each row's split; -1 where the row holds no clip."""


@dataclass(frozen=True)
class BlockDone:
    """What a finished block tells the driver."""

    index: int
    """Number of the block."""
    clips: int
    """Clips computed."""
    seconds: float
    """Wall time of the block."""


def block_job(workspace: Location, catalog: Catalog, block: Block) -> BlockJob:
    """The job of one block."""
    rows = slice(block.start, block.stop)
    part, usable = catalog.clips.iloc[rows], catalog.usable[rows]
    splits = np.where(usable, [SPLITS.index(split) for split in part["split"]], -1)
    return BlockJob(
        workspace=workspace,
        data=Location(catalog.data),
        wanted=catalog.wanted,
        block=block,
        files=tuple(part["file"]),
        digests=tuple(np.where(usable, part["digest"], "")),
        splits=tuple(splits.tolist()),
    )


def extract_block(job: BlockJob) -> BlockDone:
    """Compute and write one block: its chunks, then its statistics, then its done marker.

    Doing it twice, or in two places at once, writes the same bytes.

    Raises:
        DataError: a file changed since the catalogue was made.
    """
    started = time.perf_counter()
    store = FeatureStore.open(job.workspace, read_only=False)
    splits = np.array(job.splits, np.int64)
    named = xxhash.xxh3_128()
    chunk = store.chunk_clips()
    buffers = _buffers(store.config, chunk)
    buffers.counts[:] = 0
    store.mark_open(job.block)
    for first in range(0, len(job.files), chunk):
        rows = range(first, min(first + chunk, len(job.files)))
        values = buffers.values[: len(rows)]
        _compute(job, rows, store.config, values)
        count_codes(values, splits[rows.start : rows.stop], len(SPLITS), buffers.counts)
        named.update(values.data)
        store.write_rows(job.block.start + first, values)
    store.mark_done(job.block, buffers.counts, named.digest())
    clips = int((splits >= 0).sum())
    return BlockDone(job.block.index, clips, time.perf_counter() - started)


def compute_block(job: BlockJob, store: FeatureStore) -> tuple[NDArray[np.float16], bytes]:
    """Values and digest of a block, written nowhere: what `overlap verify` compares with."""
    values = np.empty((len(job.files), *store.config.shape), np.float16)
    _compute(job, range(len(job.files)), store.config, values)
    return values, block_digest(values)


def block_digest(values: NDArray[np.float16]) -> bytes:
    """Digest of a block's values as the store holds it."""
    return xxhash.xxh3_128_digest(np.ascontiguousarray(values).data)


@dataclass(frozen=True, eq=False)
class _Buffers:
    """Memory that a thread uses for one block after the other.

    Fresh arrays cost 25 to 60 us a clip in page faults, and a heap that grows and shrinks.
    """

    values: NDArray[np.float16]
    """(clips of a chunk, mel, frame, resolution)."""
    counts: NDArray[np.uint32]
    """(split, resolution, 65536)."""


_THREAD = threading.local()


def _buffers(config: FeatureConfig, chunk: int) -> _Buffers:
    shape = (chunk, *config.shape)
    kept: _Buffers | None = getattr(_THREAD, "buffers", None)
    if kept is None or kept.values.shape != shape:
        counts = np.zeros((len(SPLITS), len(config.resolutions), CODES), np.uint32)
        kept = _THREAD.buffers = _Buffers(np.empty(shape, np.float16), counts)
    return kept


def _compute(job: BlockJob, rows: range, config: FeatureConfig, out: NDArray[np.float16]) -> None:
    """Features of some rows of a block; rows without a clip are zero.

    Args:
        job: The block.
        rows: Rows of it, counted from its first.
        config: The features.
        out: (rows, mel, frame, resolution) float16.
    """
    present = [row for row in rows if job.splits[row] >= 0]
    if len(present) < len(rows):
        out[:] = 0
    clips = _clips(job, present)
    for some in _groups(present, GROUP):
        samples = np.stack(list(islice(clips, len(some))))
        first, last = some[0] - rows.start, some[-1] - rows.start + 1
        if last - first == len(some):
            compute_features(samples, config, out[first:last])
        else:
            out[np.subtract(some, rows.start)] = compute_features(samples, config)


def _groups(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _clips(job: BlockJob, rows: Sequence[int]) -> Iterator[NDArray[np.float32]]:
    """(samples,) float32 of each row; what was not so when the catalogue was made is an error."""
    for row in rows:
        file = job.files[row]
        try:
            clip = load_clip(job.data, file, job.wanted)
        except AudioError as error:
            raise DataError(f"{job.data}/{file}: {error}, though it could be read before") from None
        if digest(clip) != job.digests[row]:
            raise DataError(
                f"{job.data}/{file}: changed while the run was reading it; start the run again"
            )
        yield clip.samples
