"""Columns of texts as Arrow arrays, in memory or in a temporary file, and the search in them.

A Python object per text takes several times as much memory as the text itself, so that texts are
Python objects in blocks only.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeAlias, Union, overload

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overlap.columns.files import BLOCK, GrowingBuffer

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


def taken(texts: Texts, rows: NDArray[np.int64]) -> pa.LargeStringArray:
    """Return the texts of some rows; those of successive rows are not copied."""
    array = arrow_texts(texts)
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return array.slice(int(rows[0]), len(rows))
    steps = range(0, len(rows), BLOCK)
    return text_array(array.take(pa.array(rows[start : start + BLOCK])) for start in steps)


def chosen(texts: Sequence[str], mask: NDArray[np.bool_]) -> list[str]:
    """Return the few texts of which the mask is true."""
    return [texts[row] for row in np.flatnonzero(mask).tolist()]


def constant(text: str, count: int) -> pa.LargeStringArray:
    """Return a column that repeats one text."""
    sizes = [min(BLOCK, count - start) for start in range(0, count, BLOCK)]
    return text_array(pa.repeat(pa.scalar(text, pa.large_string()), size) for size in sizes)


def mapped_texts(function: Callable[[str], str], texts: pa.LargeStringArray) -> pa.LargeStringArray:
    """Return the column of a function's results."""
    return text_array([*map(function, block.to_pylist())] for block in blocks(texts))


def hashes(texts: pa.LargeStringArray) -> NDArray[np.uint64]:
    """Return a hash of 64 bits of each text: 8 bytes, where a table of the texts takes 50 or more.

    Equal texts have equal hashes; different texts may have equal ones.
    """
    import pandas as pd

    found = np.empty(len(texts), np.uint64)
    for start, block in zip(range(0, len(texts), BLOCK), blocks(texts), strict=True):
        objects = block.to_numpy(zero_copy_only=False)
        found[start : start + len(block)] = pd.util.hash_array(objects, categorize=False)
    return found


def repeated(texts: Texts) -> NDArray[np.bool_]:
    """Return which texts occur several times.

    Examples:
        >>> repeated(["a", "b", "a"]).tolist()
        [True, False, True]
    """
    array = arrow_texts(texts)
    numbers = hashes(array)
    suspected = np.flatnonzero(_repeated_numbers(numbers, np.argsort(numbers)))
    names = array.take(suspected).to_pylist()
    times = Counter(names)
    found = np.zeros(len(array), np.bool_)
    found[suspected] = [times[name] > 1 for name in names]
    return found


def _repeated_numbers(values: NDArray[np.uint64], order: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which numbers occur several times, from the order that sorts them."""
    same = values[order[1:]] == values[order[:-1]]
    found = np.zeros(len(values), np.bool_)
    found[order[1:][same]] = True
    found[order[:-1][same]] = True
    return found


def positions(values: Texts, known: Texts) -> NDArray[np.int64]:
    """Find texts among others.

    Args:
        values: The texts to find.
        known: Texts without duplicates.

    Returns:
        (values,) int64: index into `known`, or -1.
    """
    wanted, among = arrow_texts(values), arrow_texts(known)
    if wanted.equals(among):  # the usual case in a workspace
        return np.arange(len(among), dtype=np.int64)
    if not len(among):
        return np.full(len(wanted), -1, np.int64)
    searched, numbers = hashes(wanted), hashes(among)
    order = np.argsort(numbers)
    candidates, shared = _places(searched, numbers, order), _repeated_numbers(numbers, order)
    del order
    found = np.where(equal_at(wanted, among, candidates), candidates, -1)
    if shared.any():  # the candidate may be another text with the same hash
        rows = np.flatnonzero(shared)
        row_of = dict(zip(among.take(rows).to_pylist(), rows.tolist(), strict=True))
        doubtful = np.flatnonzero(np.isin(searched, numbers[rows]))
        found[doubtful] = [row_of.get(text, -1) for text in wanted.take(doubtful).to_pylist()]
    return found


def distinct(texts: Texts) -> tuple[pa.LargeStringArray, NDArray[np.int64]]:
    """Return the sorted texts without repetitions, and the index of each text among them.

    Examples:
        >>> names, index = distinct(["b", "a", "b"])
        >>> names.to_pylist(), index.tolist()
        (['a', 'b'], [1, 0, 1])
    """
    array = arrow_texts(texts)
    order = np.asarray(pc.array_sort_indices(array).to_numpy(), np.int64)
    ordered = taken(array, order)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ~equal_at(ordered.slice(1), ordered, np.arange(len(ordered) - 1))
    index = np.empty(len(ordered), np.int64)
    index[order] = np.cumsum(first) - 1
    return taken(ordered, np.flatnonzero(first)), index


def equal_at(values: Texts, known: Texts, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return whether each text equals the one in the given row of others; False for row -1."""
    wanted, among = arrow_texts(values), arrow_texts(known)
    found = np.empty(len(wanted), np.bool_)
    for start, block in zip(range(0, len(wanted), BLOCK), blocks(wanted), strict=True):
        part = rows[start : start + len(block)]
        same = pc.equal(block, among.take(pa.array(part, mask=part < 0)))
        found[start : start + len(block)] = same.fill_null(False).to_numpy(zero_copy_only=False)
    return found


def _places(
    searched: NDArray[np.uint64], numbers: NDArray[np.uint64], order: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Return for each number the index of an equal one, or any index where there is none.

    Args:
        searched: The numbers to find.
        numbers: Those among which they are searched.
        order: The order that sorts `numbers`.
    """
    asked = np.argsort(searched)
    place = np.searchsorted(numbers[order], searched[asked])  # both sorted: cached memory
    found = np.empty(len(searched), np.int64)
    found[asked] = order[np.minimum(place, len(order) - 1, out=place)]
    return found


def natural_order(ids: Texts) -> NDArray[np.int64]:
    """Return the indexes that sort ids naturally: clip_2 before clip_10.

    Examples:
        >>> natural_order(["b", "clip_10", "clip_2"]).tolist()
        [0, 2, 1]
    """
    texts = arrow_texts(ids)
    if _of_one_pattern(texts):  # padding would not change the order
        order = pc.array_sort_indices(texts)
    else:
        table = pa.table({"padded": mapped_texts(_padded, texts), "text": texts})
        keys = [("padded", "ascending"), ("text", "ascending")]
        order = pc.sort_indices(table, sort_keys=keys)
    return np.asarray(order.to_numpy(), np.int64)


def _padded(text: str) -> str:
    return re.sub(r"\d+", lambda found: found.group().zfill(20), text)


def _of_one_pattern(texts: pa.LargeStringArray) -> bool:
    """Return whether texts have digits in the same places and are otherwise equal ASCII texts."""
    patterns = set[str]()
    for block in blocks(texts):
        replaced = pc.replace_substring_regex(block, "[0-9]", "0")
        patterns.update(pc.unique(replaced).to_pylist())
        if len(patterns) > 1:
            return False
    return all(pattern.isascii() for pattern in patterns)
