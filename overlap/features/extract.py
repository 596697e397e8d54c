"""One block of clips, from sound files to features in the store: what a worker does."""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from overlap.catalog.inspection import decode_content, digest, read_ahead
from overlap.config import FeatureConfig
from overlap.errors import AudioError, DataError
from overlap.features.compute import compute_features
from overlap.features.jobs import BlockDone, BlockJob
from overlap.features.statistics import CODES, count_codes
from overlap.features.store.layout import SPLITS
from overlap.features.store.store import FeatureStore
from overlap.io.bulk_read import Read
from overlap.system.energy import Readings, processor_joules

GROUP = 32
"""Clips decode_content and transformed at once: whole groups of lanes of every processor."""


def extract_block(job: BlockJob) -> BlockDone:
    """Compute and write one block: its chunks, then its statistics, then its done marker.

    Doing it twice, or in two places at once, writes the same bytes.

    Raises:
        DataError: a file changed since the catalogue was made.
    """
    started, energy = time.perf_counter(), processor_joules()
    store = FeatureStore.open(job.workspace, read_only=False)
    named = xxhash.xxh3_128()
    chunk = store.chunk_clips()
    buffers = _buffers(store.config, chunk)
    buffers.counts[:] = 0
    store.invalidate_if_stale(job.block)
    with closing(_contents(job)) as contents:
        for first in range(0, len(job.files), chunk):
            rows = range(first, min(first + chunk, len(job.files)))
            values = buffers.values[: len(rows)]
            _compute(job, rows, contents, store.config, buffers.samples, values, buffers.counts)
            named.update(values.data)
            store.write_rows(job.block.start + first, values)
    store.mark_done(job.block, buffers.counts, named.digest())
    clips = sum(split >= 0 for split in job.splits)
    seconds = time.perf_counter() - started
    return BlockDone(job.block.index, clips, seconds, Readings.since(energy))


def compute_block(job: BlockJob, store: FeatureStore) -> tuple[NDArray[np.float16], bytes]:
    """Values and digest of a block, written nowhere: what `overlap verify` compares with."""
    rows = range(len(job.files))
    values = np.empty((len(rows), *store.config.shape), np.float16)
    samples = np.empty((GROUP, job.wanted.samples), np.float32)
    with closing(_contents(job)) as contents:
        _compute(job, rows, contents, store.config, samples, values)
    return values, block_digest(values)


def block_digest(values: NDArray[np.float16]) -> bytes:
    """Digest of a block's values as the store holds it."""
    return xxhash.xxh3_128_digest(np.ascontiguousarray(values).data)


@dataclass(frozen=True, eq=False)
class _Buffers:
    """Memory that a thread uses for one block after the other.

    Fresh arrays cost 25 to 60 us a clip in page faults, and a heap that grows and shrinks.
    """

    samples: NDArray[np.float32]
    """(`GROUP`, samples)."""
    values: NDArray[np.float16]
    """(clips of a chunk, mel, frame, resolution)."""
    counts: NDArray[np.uint32]
    """(split, resolution, 65536)."""


_THREAD = threading.local()


def _buffers(config: FeatureConfig, chunk: int) -> _Buffers:
    shape = (chunk, *config.shape)
    kept: _Buffers | None = getattr(_THREAD, "buffers", None)
    if kept is None or (kept.values.shape, kept.samples.shape[1]) != (shape, config.clip_samples):
        counts = np.zeros((len(SPLITS), len(config.resolutions), CODES), np.uint32)
        kept = _THREAD.buffers = _Buffers(
            samples=np.empty((GROUP, config.clip_samples), np.float32),
            values=np.empty(shape, np.float16),
            counts=counts,
        )
    return kept


def _contents(job: BlockJob) -> Generator[Read]:
    """Contents of the files of a block, read while earlier ones are computed."""
    held = [file for file, split in zip(job.files, job.splits, strict=True) if split >= 0]
    return read_ahead(job.data, held, job.wanted)


def _compute(
    job: BlockJob,
    rows: range,
    contents: Iterator[Read],
    config: FeatureConfig,
    samples: NDArray[np.float32],
    out: NDArray[np.float16],
    counts: NDArray[np.uint32] | None = None,
) -> None:
    """Features of some rows of a block; rows without a clip are zero.

    Args:
        job: The block.
        rows: Rows of it, counted from its first.
        contents: Gives the content of each file among these rows next, in order.
        config: The features.
        samples: (`GROUP`, samples) float32, to be overwritten.
        out: (rows, mel, frame, resolution) float16.
        counts: (split, resolution, 65536): the codes are added to it while they lie in the cache.
    """
    splits = np.array(job.splits[rows.start : rows.stop], np.int64)
    present = np.flatnonzero(splits >= 0)
    if len(present) < len(rows):
        out[:] = 0
    for start in range(0, len(present), GROUP):
        some = present[start : start + GROUP]
        group = samples[: len(some)]
        for row, clip in zip(some, group, strict=True):
            _decode(job, rows.start + row, next(contents), clip)
        if some[-1] - some[0] + 1 == len(some):  # the common case: nothing is missing
            values = out[some[0] : some[-1] + 1]
            compute_features(group, config, values)
        else:
            values = np.empty((len(some), *config.shape), np.float16)
            compute_features(group, config, values)
            out[some] = values
        if counts is not None:
            count_codes(values, splits[some], len(SPLITS), counts)


def _decode(job: BlockJob, row: int, content: Read, out: NDArray[np.float32]) -> None:
    """Decode a clip, and refuse what is not what it was when the catalogue was made."""
    file = job.data / job.files[row]
    try:
        clip = decode_content(content, job.wanted, out)
    except AudioError as error:
        raise DataError(f"{file}: {error}, though it could be read before") from None
    if digest(clip) != job.digests[row]:
        raise DataError(f"{file}: changed while the run was reading it; start the run again")
