"""Sources of features: from the store to batches, with one copy per clip on the host.

A source returns the decibels of rows in any order, batch by batch. Features that fit into memory
are held there. Others are streamed: each chunk is read once per pass, ahead of its use, and then
dropped. `Prefetcher` makes batches in a thread while the device computes.
"""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from overlap.features import FeatureStore
from overlap.training.feed.memory_plan import MemoryPlan

Item = TypeVar("Item")


class Source(Protocol):
    """Provides features by row of the store."""

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.float16]]:
        """Yield (at most size, mel, frame, resolution) float16 dB of the rows, in this order."""
        ...


class ChunkedSource:
    """Reads the chunks of the store as needed.

    Args:
        store: The feature store.
        window: Number of rows to read ahead of their use.
    """

    def __init__(self, store: FeatureStore, window: int = 0) -> None:
        self._store, self._window = store, window

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[NDArray[np.float16]]:
        """Yield the decibels of the rows; holds the chunks of the current and the next window.

        The chunks of the next window are read at an even rate while the current one is in use, so
        that the device does not wait at the end of a window.
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
            # Counted in chunks, because a pass may use only a few rows of each chunk.
            due = len(order) * done / len(rows) + ahead if ahead else 0
            while loaded < min(len(order), int(due)):
                load(next(waiting))


class MemorySource:
    """Holds some rows in memory.

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
        """Yield the decibels of the rows."""
        indices = np.searchsorted(self._rows, rows)
        for start in range(0, len(rows), size):
            yield self._features[indices[start : start + size]]


def open_source(store: FeatureStore, rows: NDArray[np.int64], plan: MemoryPlan) -> Source:
    """Return the source that a plan requires.

    In device mode only the rows to score on need a source. They are held in memory, because they
    are few and are spread over all chunks of the store.
    """
    if plan.mode != "stream":
        return MemorySource(store, rows)
    return ChunkedSource(store, plan.window_clips)


class Prefetcher(Generic[Item]):
    """Makes the items of one pass after the other in a thread, some ahead of their use.

    Args:
        make: Makes the items of a pass, given its number; at least one.
        passes: The passes.
        depth: Items that may wait.
    """

    def __init__(
        self, make: Callable[[int], Iterator[Item]], passes: range, depth: int = 8
    ) -> None:
        self.waited = 0.0
        """Seconds for which an item was waited for, over all passes."""
        self._make, self._passes = make, passes
        self._ready: queue.Queue[tuple[str, object]] = queue.Queue(depth)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def one_pass(self) -> Iterator[Item]:
        """The items of the next pass; the last is known as the last, so none is asked for after it.

        Keras asks for no more than it needs, or for one more, and from a thread that may be late:
        what it asks for too much must not be the first of the next pass.

        Raises:
            Exception: whatever the thread failed with.
        """
        what = "item"
        while what == "item":
            started = time.perf_counter()
            what, item = self._ready.get()
            self.waited += time.perf_counter() - started
            if what == "error":
                raise item  # type: ignore[misc]  # an exception
            yield item  # type: ignore[misc]  # an Item

    def close(self) -> None:
        """End the thread, and whoever still waits for an item."""
        self._over.set()
        self._thread.join()
        with suppress(queue.Full):  # then nobody waits
            self._ready.put_nowait(("error", RuntimeError("no more items: closed")))

    def _work(self) -> None:
        try:
            for number in self._passes:
                items = self._make(number)
                item = next(items)
                for following in items:
                    if not self._put("item", item):
                        return
                    item = following
                if not self._put("last", item):
                    return
        except BaseException as error:  # noqa: BLE001  it is raised where it is waited for
            self._put("error", error)

    def _put(self, what: str, item: object) -> bool:
        while not self._over.is_set():
            try:
                self._ready.put((what, item), timeout=0.1)
            except queue.Full:
                continue
            return True
        return False
