"""Items made by a thread ahead of their use."""

import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import CancelledError, Future, ThreadPoolExecutor
from types import TracebackType
from typing import Generic, Self, TypeVar

Item = TypeVar("Item")
_END = object()
"""Follows the last item."""


class Prefetcher(Generic[Item]):
    """Iterates over items, of which a thread makes the next ones while the current one is used.

    The items are made one at a time and in order. An exception of the source is raised where its
    item is requested. `close` ends the thread; a context manager closes itself.

    Args:
        items: The source.
        depth: Items that are made ahead of the current one, at most.
        worthwhile_seconds: The consumer itself makes the item after one that took less than this:
            two threads that hand the interpreter's lock to each other cost more than they save.
            Above 0 only one thread may consume.

    Attributes:
        waited: Seconds for which the consumer waited for items.
    """

    def __init__(
        self, items: Iterable[Item], depth: int = 1, worthwhile_seconds: float = 0.0
    ) -> None:
        self.waited = 0.0
        self._source = iter(items)
        self._depth, self._worthwhile = depth, worthwhile_seconds
        self._maker = ThreadPoolExecutor(1, thread_name_prefix="overlap-prefetch")
        self._ahead: deque[Future[tuple[object, float]]] = deque()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        """Return the next item.

        Raises:
            StopIteration: there are no more items.
            RuntimeError: the prefetcher was closed.
            Exception: the source failed.
        """
        started = time.perf_counter()
        try:
            item, seconds = self._next()
        finally:
            self.waited += time.perf_counter() - started
        if item is _END:
            raise StopIteration
        if seconds >= self._worthwhile:
            with self._lock:
                while len(self._ahead) < self._depth:
                    self._ahead.append(self._maker.submit(self._make))
        return item  # type: ignore[return-value]  # it is not the end

    def _next(self) -> tuple[object, float]:
        with self._lock:
            upcoming = self._ahead.popleft() if self._ahead else None
            if upcoming is None and not self._worthwhile:
                upcoming = self._maker.submit(self._make)
        if upcoming is None:
            return self._make()
        try:
            return upcoming.result()
        except CancelledError:
            raise RuntimeError("no more items: the prefetcher was closed") from None

    def _make(self) -> tuple[object, float]:
        started = time.perf_counter()
        return next(self._source, _END), time.perf_counter() - started

    def close(self) -> None:
        """End the thread after the item that it is making; waiting consumers get an error."""
        self._maker.shutdown(wait=True, cancel_futures=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        self.close()
