"""Compute one block on a worker: from sound files to features in the store."""

import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import xxhash
from numpy.typing import NDArray

from overlap.audio.clips import decode_content, digest
from overlap.catalog.read_ahead import read_ahead
from overlap.config import FeatureConfig
from overlap.errors import AudioError, DataError
from overlap.features.code_counts import count_codes
from overlap.features.compute import compute_features
from overlap.features.jobs import BlockDone, BlockJob
from overlap.features.statistics import CODES
from overlap.features.store.layout import SPLITS
from overlap.features.store.store import FeatureStore
from overlap.io.bulk_read import Read
from overlap.system.resources.energy import Readings, processor_joules

GROUP = 32
"""Clips decoded and transformed at once: a multiple of the lanes of every processor."""


def extract_block(job: BlockJob) -> BlockDone:
    """Compute and write one block: its chunks, then its statistics, then its done marker.

    The operation is idempotent: repeated or concurrent calls write the same bytes.

    Raises:
        DataError: A file changed since the catalogue was built.
    """
    started, energy = time.perf_counter(), processor_joules()
    store = FeatureStore.open(job.workspace, read_only=False)
    hasher = xxhash.xxh3_128()
    chunk = store.chunk_clips()
    buffers = _buffers(store.config, chunk)
    buffers.counts[:] = 0
    store.invalidate_if_stale(job.block)
    with closing(_contents(job)) as contents:
        for first in range(0, len(job.files), chunk):
            rows = range(first, min(first + chunk, len(job.files)))
            values = buffers.values[: len(rows)]
            _compute(job, rows, contents, store.config, buffers.samples, values, buffers.counts)
            hasher.update(values.data)
            store.write_rows(job.block.start + first, values)
    store.mark_done(job.block, buffers.counts, hasher.digest())
    clips = sum(split >= 0 for split in job.splits)
    seconds = time.perf_counter() - started
    return BlockDone(job.block.index, clips, seconds, Readings.since(energy))


def compute_block(job: BlockJob, store: FeatureStore) -> tuple[NDArray[np.float16], bytes]:
    """Compute the values and digest of a block without writing them, for `overlap verify`."""
    rows = range(len(job.files))
    values = np.empty((len(rows), *store.config.shape), np.float16)
    samples = np.empty((GROUP, job.wanted.samples), np.float32)
    with closing(_contents(job)) as contents:
        _compute(job, rows, contents, store.config, samples, values)
    return values, block_digest(values)


def block_digest(values: NDArray[np.float16]) -> bytes:
    """Return the digest of a block's values, as the store holds it."""
    return xxhash.xxh3_128_digest(np.ascontiguousarray(values).data)


@dataclass(frozen=True, eq=False)
class _Buffers:
    """Buffers that a thread reuses for consecutive blocks.

    New arrays would cost 25 to 60 us per clip in page faults, and a heap that grows and shrinks.
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
    cached: _Buffers | None = getattr(_THREAD, "buffers", None)
    if (
        cached is None
        or cached.values.shape != shape
        or cached.samples.shape[1] != config.clip_samples
    ):
        counts = np.zeros((len(SPLITS), len(config.resolutions), CODES), np.uint32)
        cached = _THREAD.buffers = _Buffers(
            samples=np.empty((GROUP, config.clip_samples), np.float32),
            values=np.empty(shape, np.float16),
            counts=counts,
        )
    return cached


def _contents(job: BlockJob) -> Generator[Read]:
    """Read the files of a block ahead of their computation."""
    files = [file for file, split in zip(job.files, job.splits, strict=True) if split >= 0]
    return read_ahead(job.data, files, job.wanted)


def _compute(
    job: BlockJob,
    rows: range,
    contents: Iterator[Read],
    config: FeatureConfig,
    samples: NDArray[np.float32],
    out: NDArray[np.float16],
    counts: NDArray[np.uint32] | None = None,
) -> None:
    """Compute the features of rows of a block; rows without a clip are zero.

    Args:
        job: The block.
        rows: Rows relative to the first row of the block.
        contents: The contents of the files of these rows, in order.
        config: The features.
        samples: (`GROUP`, samples) float32; overwritten.
        out: (rows, mel, frame, resolution) float16.
        counts: (split, resolution, 65536): the codes are added to it while they are cached.
    """
    splits = np.array(job.splits[rows.start : rows.stop], np.int64)
    present = np.flatnonzero(splits >= 0)
    if len(present) < len(rows):
        out[:] = 0
    for start in range(0, len(present), GROUP):
        selected = present[start : start + GROUP]
        group = samples[: len(selected)]
        for row, clip in zip(selected, group, strict=True):
            _decode(job, rows.start + row, next(contents), clip)
        if selected[-1] - selected[0] + 1 == len(selected):  # common case: no row is missing
            values = out[selected[0] : selected[-1] + 1]
            compute_features(group, config, values)
        else:
            values = np.empty((len(selected), *config.shape), np.float16)
            compute_features(group, config, values)
            out[selected] = values
        if counts is not None:
            count_codes(values, splits[selected], len(SPLITS), counts)


def _decode(job: BlockJob, row: int, content: Read, out: NDArray[np.float32]) -> None:
    """Decode a clip and check that it is the one in the catalogue."""
    file = job.data / job.files[row]
    try:
        clip = decode_content(content, job.wanted, out)
    except AudioError as error:
        raise DataError(
            f"{file}: {error}, although it was readable when the catalogue was built; "
            "start the run again",
            code="clip-unreadable",
            file=str(file),
        ) from None
    if digest(clip) != job.digests[row]:
        raise DataError(
            f"{file}: changed during the run; start the run again",
            code="clip-changed",
            file=str(file),
        )
