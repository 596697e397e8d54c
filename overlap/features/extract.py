"""One block of clips, from sound files to features in the store: what a worker does."""

import hashlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.catalog.inspection import digest, load_clip
from overlap.config import AudioFormat
from overlap.errors import AudioError, DataError
from overlap.features.batched import batched_features
from overlap.features.statistics import count_codes
from overlap.features.store import KEY_BYTES, SPLITS, Block, FeatureStore
from overlap.features.threads import ONE_BLAS_THREAD
from overlap.storage import Location

GROUP = 32
"""Clips decoded and transformed at once."""


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
    hashed = hashlib.blake2b(digest_size=KEY_BYTES)
    splits = np.array(job.splits, np.int64)
    histogram = np.zeros((len(SPLITS), len(store.config.resolutions), 1 << 16), np.int64)
    chunk = store.chunk_clips()
    store.mark_open(job.block)
    for first in range(0, len(job.files), chunk):
        values = _features(job, range(first, min(first + chunk, len(job.files))), store)
        histogram += count_codes(values, splits[first : first + chunk], len(SPLITS))
        hashed.update(values.data)
        store.write_rows(job.block.start + first, values)
    store.mark_done(job.block, histogram, hashed.digest())
    clips = int((splits >= 0).sum())
    return BlockDone(job.block.index, clips, time.perf_counter() - started)


def compute_block(job: BlockJob, store: FeatureStore) -> tuple[NDArray[np.float16], bytes]:
    """Values and digest of a block, written nowhere: what `overlap verify` compares with."""
    values = _features(job, range(len(job.files)), store)
    return values, block_digest(values)


def block_digest(values: NDArray[np.float16]) -> bytes:
    """Digest of a block's values as the store holds it."""
    return hashlib.blake2b(np.ascontiguousarray(values).data, digest_size=KEY_BYTES).digest()


def _features(job: BlockJob, rows: range, store: FeatureStore) -> NDArray[np.float16]:
    """(rows, mel, frame, resolution) float16; rows without a clip are zero.

    One thread of BLAS: several would round matrix products otherwise, and a block would depend
    on the machine's number of cores.
    """
    values = np.zeros((len(rows), *store.config.shape), np.float16)
    present = [row for row in rows if job.splits[row] >= 0]
    with ONE_BLAS_THREAD:
        for some in _groups(present, GROUP):
            clips = np.stack([_clip(job, row) for row in some])
            values[np.subtract(some, rows.start)] = batched_features(clips, store.config)
    return values


def _groups(rows: Sequence[int], size: int) -> Iterator[Sequence[int]]:
    for start in range(0, len(rows), size):
        yield rows[start : start + size]


def _clip(job: BlockJob, row: int) -> NDArray[np.float32]:
    file = job.files[row]
    try:
        clip = load_clip(job.data, file, job.wanted)
    except AudioError as error:
        raise DataError(f"{job.data}/{file}: {error}, though it could be read before") from None
    if digest(clip) != job.digests[row]:
        raise DataError(
            f"{job.data}/{file}: changed while the run was reading it; start the run again"
        )
    return clip.samples
