"""Columns of texts as Arrow arrays, in memory or in a temporary file.

A Python object per text takes several times as much memory as the text itself, so that texts are
Python objects in blocks only.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union, overload

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from overlap.columns.temporary_files import BLOCK, GrowingBuffer

if TYPE_CHECKING:  # half a second; commands that only read records need no pandas
    import pandas as pd


class TextColumn(Sequence[str]):
    """A sequence of texts in an Arrow array.

    Attributes:
        array: The texts, none of which is null.
    """

    def __init__(self, array: pa.LargeStringArray) -> None:
        self.array = array

    def __len__(self) -> int:
        return len(self.array)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> "TextColumn": ...
    def __getitem__(self, index: int | slice) -> "str | TextColumn":
        if isinstance(index, slice):
            return TextColumn(self.array[index])
        text: str = self.array[index].as_py()
        return text

    def __iter__(self) -> Iterator[str]:
        for block in blocks(self.array):
            yield from block.to_pylist()


Texts: TypeAlias = Union[Sequence[str], "pd.Series", pa.Array]
"""Texts in order."""


class TextBuilder:
    """Collects texts; the column is in a temporary file if it is large."""

    def __init__(self) -> None:
        self._waiting: list[str] = []
        self._data, self._ends = GrowingBuffer(), GrowingBuffer()
        self._ends.add(np.zeros(1, np.int64))

    def append(self, text: str) -> None:
        """Add one text."""
        self._waiting.append(text)
        if len(self._waiting) == BLOCK:
            self._add_waiting()

    def extend(self, texts: Texts) -> None:
        """Add texts."""
        self._add_waiting()
        for block in blocks(arrow_texts(texts)):
            _, ends, data = block.buffers()
            offsets = np.frombuffer(ends, np.int64)[block.offset : block.offset + len(block) + 1]
            self._ends.add(offsets[1:] - offsets[0] + self._data.size)
            self._data.add((data or pa.py_buffer(b""))[int(offsets[0]) : int(offsets[-1])])

    def _add_waiting(self) -> None:
        if self._waiting:
            waiting, self._waiting = self._waiting, []
            self.extend(waiting)

    def finish(self) -> pa.LargeStringArray:
        """Return all texts as one array; nothing can be added afterwards."""
        self._add_waiting()
        count = self._ends.size // 8 - 1
        buffers = self._ends.finish(), self._data.finish()
        return pa.LargeStringArray.from_buffers(count, *buffers)


def blocks(texts: pa.LargeStringArray) -> Iterator[pa.LargeStringArray]:
    """Yield an array in blocks of `BLOCK` texts, without a copy."""
    for start in range(0, len(texts), BLOCK):
        yield texts.slice(start, BLOCK)


def text_array(parts: Iterable[Texts]) -> pa.LargeStringArray:
    """Return the texts of all parts as one array, which is in a file if it is large."""
    builder = TextBuilder()
    for part in parts:
        builder.extend(part)
    return builder.finish()


def arrow_texts(texts: Texts) -> pa.LargeStringArray:
    """Return texts as one Arrow array, without a copy where they are one already.

    Raises:
        UnicodeEncodeError: a text is not Unicode.
    """
    if isinstance(texts, TextColumn):
        return texts.array
    array = pa.array(texts, pa.large_string())
    if isinstance(array, pa.ChunkedArray):
        return array.chunk(0) if array.num_chunks == 1 else text_array(array.chunks)
    return array


def texts_at(texts: Texts, rows: NDArray[np.int64]) -> pa.LargeStringArray:
    """Return the texts of some rows; those of successive rows are not copied."""
    array = arrow_texts(texts)
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return array.slice(int(rows[0]), len(rows))
    steps = range(0, len(rows), BLOCK)
    return text_array(array.take(pa.array(rows[start : start + BLOCK])) for start in steps)


def texts_where(texts: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    """Return the few texts of which the mask is true."""
    return [texts[row] for row in np.flatnonzero(mask).tolist()]


def constant(text: str, count: int) -> pa.LargeStringArray:
    """Return a column that repeats one text."""
    sizes = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
    return text_array(pa.repeat(pa.scalar(text, pa.large_string()), size) for size in sizes)


def mapped_texts(function: Callable[[str], str], texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the column of a function's results."""
    return text_array([*map(function, block.to_pylist())] for block in blocks(texts))
