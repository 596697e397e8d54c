"""From the store to batches, with no work per clip on the host beyond a copy.

Each epoch the chunks of the store are drawn in a new order and cut into windows of some 16,000
clips; the clips of one window are shuffled among each other. Clips of different windows never
meet in a batch within that epoch. Features that fit the memory are held there, the others are
streamed, two windows at a time. The order is the same either way, so that a member does not
depend on what memory was free when it was trained.
"""

import math
from collections import OrderedDict
from typing import Protocol

import keras
import numpy as np
from numpy.typing import NDArray

from overlap.features import FeatureStore
from overlap.training.memory import MemoryPlan, window_chunks


class Source(Protocol):
    """Features by row of the store."""

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """(rows, mel, frame, resolution) float16: decibels of these rows, in this order."""
        ...


class ChunkedSource:
    """Reads rows from the store and keeps the chunks that were used last.

    Args:
        store: The feature store.
        chunks: How many chunks are kept.
    """

    def __init__(self, store: FeatureStore, chunks: int) -> None:
        self._store, self._capacity = store, max(2, chunks)
        self._chunk_clips = store.chunk_clips()
        self._kept: OrderedDict[int, NDArray[np.float16]] = OrderedDict()

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Features of these rows, in this order."""
        out = np.empty((len(rows), *self._store.config.shape), np.float16)
        chunks = rows // self._chunk_clips
        for index in np.unique(chunks):
            chosen = np.flatnonzero(chunks == index)
            out[chosen] = self._chunk(int(index))[rows[chosen] % self._chunk_clips]
        return out

    def _chunk(self, index: int) -> NDArray[np.float16]:
        if index not in self._kept:
            start = index * self._chunk_clips
            self._kept[index] = self._store.read_rows(start, start + self._chunk_clips)
        self._kept.move_to_end(index)
        while len(self._kept) > self._capacity:
            self._kept.popitem(last=False)
        return self._kept[index]


class MemorySource:
    """Holds the rows that it is made for in memory.

    Args:
        store: The feature store.
        rows: The rows, ascending.
    """

    def __init__(self, store: FeatureStore, rows: NDArray[np.int64]) -> None:
        self._rows = rows
        self._features = np.empty((len(rows), *store.config.shape), np.float16)
        reader, step = ChunkedSource(store, 2), store.chunk_clips()
        for start in range(0, len(rows), step):
            self._features[start : start + step] = reader.take(rows[start : start + step])

    def take(self, rows: NDArray[np.int64]) -> NDArray[np.float16]:
        """Features of these rows, in this order."""
        features: NDArray[np.float16] = self._features[np.searchsorted(self._rows, rows)]
        return features


def open_source(store: FeatureStore, rows: NDArray[np.int64], plan: MemoryPlan) -> Source:
    """The source that a plan describes."""
    if plan.mode == "memory":
        return MemorySource(store, rows)
    return ChunkedSource(store, plan.chunks)


def epoch_order(
    rows: NDArray[np.int64], chunk_clips: int, shuffle_clips: int, seed: tuple[int, ...]
) -> NDArray[np.int64]:
    """The order in which an epoch visits its rows: each exactly once.

    Args:
        rows: The rows.
        chunk_clips: Rows per chunk of the store.
        shuffle_clips: Rows per window, about.
        seed: Equal seeds give equal orders.
    """
    random = np.random.default_rng(seed)
    chunks = random.permutation(np.unique(rows // chunk_clips))
    place = np.empty(int(chunks.max()) + 1, np.int64)
    place[chunks] = np.arange(len(chunks)) // window_chunks(shuffle_clips, chunk_clips)
    window = place[rows // chunk_clips]
    return rows[np.lexsort((random.random(len(rows)), window))]


class Batches(keras.utils.PyDataset):  # type: ignore[misc]  # keras publishes no types
    """One pass over some rows, in a fixed order.

    Args:
        source: Features by row.
        rows: The rows in the order in which they are visited.
        batch_size: Clips per batch; the last one may be smaller.
        labels: (all rows of the catalogue, words); None: batches of features alone.
    """

    def __init__(
        self,
        source: Source,
        rows: NDArray[np.int64],
        batch_size: int,
        labels: NDArray[np.float64] | None = None,
    ) -> None:
        super().__init__()
        self._source, self._rows, self._batch_size = source, rows, batch_size
        self._labels = None if labels is None else labels.astype(np.float32)

    def __len__(self) -> int:
        return math.ceil(len(self._rows) / self._batch_size)

    def __getitem__(self, index: int) -> tuple[NDArray[np.generic], ...]:
        rows = self._rows[index * self._batch_size : (index + 1) * self._batch_size]
        features = self._source.take(rows)
        return (features,) if self._labels is None else (features, self._labels[rows])
