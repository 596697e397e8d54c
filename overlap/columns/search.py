"""Search and comparison in columns of millions: repetitions, positions, order, equality.

Texts are compared by hashes first, because a table of the texts themselves would be in memory.
"""

import re
from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from overlap.columns.temporary_files import BLOCK
from overlap.columns.texts import Texts, arrow_texts, blocks, mapped_texts, texts_at


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
    ordered = texts_at(array, order)
    first = np.ones(len(ordered), np.bool_)
    first[1:] = ~equal_at(ordered.slice(1), ordered, np.arange(len(ordered) - 1))
    index = np.empty(len(ordered), np.int64)
    index[order] = np.cumsum(first) - 1
    return texts_at(ordered, np.flatnonzero(first)), index


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


def equal_numbers(first: NDArray[Any], second: NDArray[Any]) -> bool:
    """Return whether arrays have the same shape and numbers; NaN equals NaN.

    `numpy.array_equal` would copy both arrays.
    """
    starts = range(0, len(first), BLOCK)
    return first.shape == second.shape and all(
        np.array_equal(first[i : i + BLOCK], second[i : i + BLOCK], equal_nan=True) for i in starts
    )
