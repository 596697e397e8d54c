"""Sets rows of the feature store to zero, without the sound files.

A block whose other rows are right stays done: its values are read, the rows are set to zero, and
its counts and digest are computed again, as if its clips had never been there. Any other block is
left for the next run, which computes it from the clips that remain.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Catalog
from overlap.errors import CorruptError
from overlap.features import Block, FeatureStore, block_job
from overlap.features.code_counts import count_codes
from overlap.features.extract import block_digest
from overlap.features.store.layout import SPLITS
from overlap.io.location import Location


def clear_rows(
    workspace: Location, before: Catalog, after: Catalog, rows: NDArray[np.int64]
) -> tuple[int, int]:
    """Set rows to zero and mark them as unusable.

    Args:
        workspace: The workspace; it has a store, and its run lock is held.
        before: The catalogue that the store belongs to.
        after: The catalogue in which the rows have no clip.
        rows: The rows.

    Returns:
        Number of blocks that were rewritten, and of those that the next run has to compute.
    """
    store = FeatureStore.open(workspace, read_only=False)
    missing = {block.index for block in store.missing(before)}
    current = {block.index for block in store.missing(after)}
    store.sync(after)
    rewritten = left = 0
    for block in store.blocks(after):
        inside = rows[(rows >= block.start) & (rows < block.stop)]
        if not len(inside) or (block.index not in current and _is_clear(store, inside)):
            continue
        done = block.index not in missing
        if _clear_block(store, workspace, after, block, inside, mark=done):
            rewritten += 1
        else:
            left += 1
    return rewritten, left


def _is_clear(store: FeatureStore, rows: NDArray[np.int64]) -> bool:
    try:
        return not any(store.read_rows(int(row), int(row) + 1).any() for row in rows)
    except CorruptError:
        return False


def _clear_block(
    store: FeatureStore,
    workspace: Location,
    catalog: Catalog,
    block: Block,
    rows: NDArray[np.int64],
    *,
    mark: bool,
) -> bool:
    """Set rows of a block to zero; return whether the block is done."""
    store.mark_missing(block.index)
    chunk = store.chunk_clips()
    try:
        values = store.read_rows(block.start, block.stop)
    except CorruptError:  # of a chunk that was never written, or is damaged: replace what it holds
        for start in _chunk_starts(rows, chunk):
            stop = min(start + chunk, block.stop)
            store.write_rows(start, np.zeros((stop - start, *store.config.shape), np.float16))
        return False
    values[rows - block.start] = 0
    for start in _chunk_starts(rows, chunk):
        stop = min(start + chunk, block.stop)
        store.write_rows(start, values[start - block.start : stop - block.start])
    if not mark:
        return False
    splits = np.array(block_job(workspace, catalog, block).splits)
    store.mark_done(block, count_codes(values, splits, len(SPLITS)), block_digest(values))
    return True


def _chunk_starts(rows: NDArray[np.int64], chunk: int) -> Sequence[int]:
    return [int(start) for start in np.unique(rows // chunk) * chunk]
