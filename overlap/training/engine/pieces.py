"""Large arrays in pieces, for threads, with sums that do not depend on the threads.

The size of the pieces depends on nothing but the shape of the array. The sums of the pieces are
added in their order in float64, so that a result depends neither on the number of threads nor on
which of them is first.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.system.aligned_memory import aligned_empty
from overlap.system.resources.sharing import share_of_processors

Floats = NDArray[np.float32]
Pieces = list[tuple[int, slice, int]]
ROW: Final = 512
"""Values of a row, or one position if that is more: enough for the vector registers where a layer
has few channels."""
PIECE: Final = 2**17
"""Values of a piece: half a megabyte, and few enough for sums in float32."""


@dataclass(frozen=True)
class Layout:
    """The pieces of an array whose last axis is the channels."""

    size: int
    """Values of the array."""
    channels: int

    @property
    def count(self) -> int:
        """Positions: values per channel."""
        return self.size // self.channels

    @cached_property
    def width(self) -> int:
        """Values of a row."""
        return self.channels * max(1, ROW // self.channels)

    @cached_property
    def pieces(self) -> Pieces:
        """Number, part and width of the rows of each piece; the last may be one shorter row."""
        whole = self.size - self.size % self.width
        ends = [*range(0, whole, self.width * max(1, PIECE // self.width)), whole]
        parts = [(slice(*part), self.width) for part in pairwise(ends)]
        if rest := self.size - whole:
            parts.append((slice(whole, self.size), rest))
        return [(number, *part) for number, part in enumerate(parts)]

    def repeated(self, *values: NDArray[np.floating]) -> Floats:
        """Return the (values, width) float32 parameters of a row of (channels,) values."""
        rows = np.empty((len(values), self.width // self.channels, self.channels), np.float32)
        for row, one in zip(rows, values, strict=True):
            row[:] = one
        return rows.reshape(len(values), -1)

    def new_sums(self) -> Floats:
        """Return (pieces, 2, width) zeros."""
        return np.zeros((len(self.pieces), 2, self.width), np.float32)

    def total(self, sums: Floats) -> NDArray[np.float64]:
        """Return the (2, channels) totals of the sums of all pieces."""
        by_channel = sums.reshape(len(sums), 2, -1, self.channels)
        totals: NDArray[np.float64] = by_channel.sum(axis=(0, 2), dtype=np.float64)
        return totals


@cache
def layout(size: int, channels: int) -> Layout:
    """Return the layout of an array of this size; a training has few of them."""
    return Layout(size, channels)


def rows_of(array: Floats | None, part: slice, width: int) -> Floats | None:
    """Return a piece of an array as (rows, width), without a copy; None for None."""
    return None if array is None else array.reshape(-1)[part].reshape(-1, width)


def empty_like(x: Floats) -> Floats:
    """Return an uninitialised array in the shape of x, which TensorFlow takes without a copy."""
    return aligned_empty(x.shape)


def for_each(pieces: Pieces, work: Callable[[int, slice, int], None]) -> None:
    """Call with number, part and width of every piece, in as many threads as this process has."""
    pool = _threads() if len(pieces) > 1 else None
    if pool is None:
        for piece in pieces:
            work(*piece)
    else:
        for done in [pool.submit(work, *piece) for piece in pieces]:
            done.result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor | None:
    """Return the threads of this process; None: there is one."""
    count = share_of_processors()
    return None if count == 1 else ThreadPoolExecutor(count, thread_name_prefix="block")
