"""The two tables of a data set: labels of the training clips, template of the submission."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.problems import Problems
from overlap.storage import Location

ROW_SUM_TOLERANCE = 1e-3
"""How far from 1 the sum of a row of labels may be."""


@dataclass(frozen=True)
class Table:
    """A table with one row per clip and one column per word."""

    name: str
    """File name, for messages."""
    ids: tuple[str, ...]
    """The ids as the table writes them, in its order."""
    words: tuple[str, ...]
    """The columns after the id, in the table's order."""
    values: NDArray[np.float64]
    """(rows, words) float64; NaN where a cell is not a number."""


def read_table(
    location: Location, problems: Problems, *, labels: bool, beside: str = ""
) -> Table | None:
    """Read a table and check what can be checked without the clips.

    Args:
        location: A CSV file with a column `id` and one column per word.
        problems: Receives everything that is wrong.
        labels: Whether each row must be a distribution.
        beside: A column that is no word, should the table have it.

    Returns:
        The table, or None when it cannot be read as one at all.
    """
    name = location.name
    frame = read_csv(location, ("id",), problems)
    if frame is None:
        return None
    words = tuple(word for word in frame.columns if word not in ("id", beside))
    if not words:
        problems.add(f"{name} has no column for a word")
        return None
    ids = frame["id"].str.strip()
    problems.add_cases(f"{name} has ids more than once", ids[ids.duplicated()].unique())
    values = frame[list(words)].apply(pd.to_numeric, errors="coerce").to_numpy(np.float64)
    if labels:
        _check_distributions(name, ids.to_numpy(), values, problems)
    return Table(name, tuple(ids), words, values)


def read_csv(
    location: Location, required: Sequence[str], problems: Problems
) -> pd.DataFrame | None:
    """Read a CSV file as text cells; None, with a problem noted, when it is no such table.

    Args:
        location: The file; UTF-8, with or without a byte order mark.
        required: Columns that it must have.
        problems: Receives what is wrong.
    """
    name = location.name
    try:
        text = location.read_bytes().decode("utf-8-sig")
        header = next(csv.reader(io.StringIO(text)), [])
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False)
    except (
        OSError,
        UnicodeDecodeError,
        csv.Error,
        pd.errors.ParserError,
        pd.errors.EmptyDataError,
    ) as error:
        why = error.strerror if isinstance(error, OSError) else error
        problems.add(f"{name} cannot be read as a CSV table in UTF-8 ({why})")
        return None
    missing = [column for column in required if column not in header]
    repeated = sorted({column for column in header if header.count(column) > 1})
    problems.add_cases(f"{name} has columns more than once", repeated)
    if missing:
        problems.add(f"{name} has no column {' or '.join(missing)}; its columns are", header)
    return None if missing or repeated else frame


def _check_distributions(
    name: str, ids: NDArray[np.object_], values: NDArray[np.float64], problems: Problems
) -> None:
    finite = np.isfinite(values).all(axis=1)
    negative = finite & (values < 0).any(axis=1)
    off = finite & ~negative & (np.abs(values.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    problems.add_cases(f"{name} has rows with a cell that is not a number", ids[~finite])
    problems.add_cases(f"{name} has rows with a negative cell", ids[negative])
    problems.add_cases(f"{name} has rows that do not sum to 1", ids[off])


def match_ids(stems: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    """Find the file of every row of a table.

    An id names the file with that stem. A bare number also names the one file whose stem ends
    in that number.

    Args:
        stems: File stems, without repetitions.
        ids: Ids as a table writes them.

    Returns:
        (ids,) int64: index into `stems`, or -1 where no file, or more than one, fits.

    Examples:
        >>> match_ids(["train_00010", "train_00002"], ["2", "train_00010", "3"]).tolist()
        [1, 0, -1]
    """
    by_stem = {stem: index for index, stem in enumerate(stems)}
    by_number: dict[int, int] = {}
    for index, stem in enumerate(stems):
        found = re.search(r"[0-9]+$", stem)
        if found:
            number = int(found.group())
            by_number[number] = -1 if number in by_number else index
    return np.array(
        [
            by_stem[i] if i in by_stem else by_number.get(int(i), -1) if _is_number(i) else -1
            for i in ids
        ],
        np.int64,
    )


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
