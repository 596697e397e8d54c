"""From the store to batches, with no work per clip on the host beyond a copy.

A source gives the decibels of rows in any order, batch by batch. Features that fit the memory
are held there; the others are streamed: each chunk is read once per pass, ahead of its use, and
dropped after it.
"""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from overlap.features import FeatureStore
from overlap.training.feed.memory_plan import MemoryPlan


class Source(Protocol):
    """Features by row of the store."""

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.float16]]:
        """(at most size, mel, frame, resolution) float16 dB, over the rows in this order."""
        ...


class ChunkedSource:
    """Reads the chunks of the store as they are needed.

    Args:
        store: The feature store.
        window: Rows that are read ahead of their use.
    """

    def __init__(self, store: FeatureStore, window: int = 0) -> None:
        self._store, self._window = store, window

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.float16]]:
        """Decibels of the rows; holds the chunks of the present window and of the next.

        The chunks of the next window are read evenly while the present one is used, not all at
        its end, where the device would wait for them.
        """
        chunk_clips = self._store.chunk_clips()
        chunk_of = rows // chunk_clips
        chunks, first = np.unique(chunk_of, return_index=True)
        order = chunks[np.argsort(first)]
        last_use = {
            int(chunk): len(rows) - 1 - int(at)
            for chunk, at in zip(*np.unique(chunk_of[::-1], return_index=True), strict=True)
        }
        held: dict[int, NDArray[np.float16]] = {}
        ahead = self._window // chunk_clips
        waiting = iter(order.tolist())
        loaded = 0

        def load(chunk: int) -> None:
            nonlocal loaded
            held[chunk] = self._store.read_rows(chunk * chunk_clips, (chunk + 1) * chunk_clips)
            loaded += 1

        for start in range(0, len(rows), size):
            part = rows[start : start + size]
            out = np.empty((len(part), *self._store.config.shape), np.float16)
            parts = chunk_of[start : start + size]
            for chunk in dict.fromkeys(parts.tolist()):
                while chunk not in held:
                    load(next(waiting))
                chosen = parts == chunk
                out[chosen] = held[chunk][part[chosen] % chunk_clips]
            done = start + len(part)
            for chunk in [c for c in held if last_use[c] < done]:
                del held[chunk]
            yield out
            # In chunks, not in rows: few rows of each chunk may be wanted.
            due = len(order) * done / len(rows) + ahead if ahead else 0
            while loaded < min(len(order), int(due)):
                load(next(waiting))


class MemorySource:
    """Holds the rows that it is made for in memory.

    Args:
        store: The feature store.
        rows: The rows, ascending.
    """

    def __init__(self, store: FeatureStore, rows: NDArray[np.int64]) -> None:
        self._rows = rows
        self._features = np.empty((len(rows), *store.config.shape), np.float16)
        start = 0
        for part in ChunkedSource(store).batches(rows, store.chunk_clips()):
            self._features[start : start + len(part)] = part
            start += len(part)

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.float16]]:
        """Decibels of the rows."""
        places = np.searchsorted(self._rows, rows)
        for start in range(0, len(rows), size):
            yield self._features[places[start : start + size]]


def open_source(store: FeatureStore, rows: NDArray[np.int64], plan: MemoryPlan) -> Source:
    """The source of rows that a plan describes.

    Of rows whose clips live on the device only those to be scored on need one; they are few
    enough for the memory, and lie in every chunk of the store.
    """
    if plan.mode != "stream":
        return MemorySource(store, rows)
    return ChunkedSource(store, plan.window_clips)
