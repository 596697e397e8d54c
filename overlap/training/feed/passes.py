"""Several passes over the data, prefetched as one stream."""

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from overlap.system.prefetch import Prefetcher

Item = TypeVar("Item")


class PassPrefetcher(Generic[Item]):
    """Prefetches the items of consecutive passes; a pass begins while the previous one is used.

    Args:
        make: Returns the items of a pass, given its number; at least one.
        passes: Numbers of the passes.
        depth: Items that are made ahead, at most.
    """

    def __init__(
        self, make: Callable[[int], Iterator[Item]], passes: range, depth: int = 8
    ) -> None:
        self._items = Prefetcher(_with_last(make, passes), depth)

    @property
    def waited(self) -> float:
        """Seconds for which items were waited for, over all passes."""
        return self._items.waited

    def one_pass(self) -> Iterator[Item]:
        """Yield the items of the next pass.

        Each item carries whether it is the last one. Keras requests as many items as it needs or
        one more, and from a thread that may be late: a surplus request must not consume the next
        pass's first item.

        Raises:
            Exception: making an item failed.
        """
        for item, last in self._items:
            yield item
            if last:
                return

    def close(self) -> None:
        """End the thread; waiting consumers get an error."""
        self._items.close()


def _with_last(make: Callable[[int], Iterator[Item]], passes: range) -> Iterator[tuple[Item, bool]]:
    """Yield the items of all passes, each with whether it is the last of its pass."""
    for number in passes:
        items = make(number)
        item = next(items)
        for following in items:
            yield item, False
            item = following
        yield item, True
