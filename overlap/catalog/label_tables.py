"""The two tables of a data set: labels of the training clips, template of the submission."""

import csv
import io
import re
import unicodedata
from array import array
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import count
from typing import IO

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.problems import Problems
from overlap.catalog.spreadsheet_formulas import is_formula
from overlap.io.formatting import format_bytes
from overlap.io.location import Location

ROW_SUM_TOLERANCE = 1e-3
"""How far from 1 the sum of a row of labels may be."""
MOST_BYTES = 1 << 30
"""Of a table: ten million clips of a dozen words. In memory its numbers take four times this."""
MOST_LINE_BYTES = 16 << 20
"""Of a line: a million columns. A file without line ends is no table."""


Take = Callable[[list[str]], None]
"""Is given the cells of a row."""


class _NoTableError(Exception):
    """A file is no CSV table in UTF-8; the message says why."""


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

    It is read row by row: in memory there are the ids and the numbers, never the text.

    Args:
        location: A CSV file with a column `id` and one column per word.
        problems: Receives everything that is wrong.
        labels: Whether each row must be a distribution.
        beside: A column that is no word, should the table have it.

    Returns:
        The table, or None when it cannot be read as one at all.
    """
    name, ids, cells, words = location.name, list[str](), array("d"), list[str]()

    def begin(header: list[str]) -> Take:
        place = header.index("id")
        columns = [at for at, word in enumerate(header) if word not in ("id", beside)]
        words.extend(header[at] for at in columns)

        def take(row: list[str]) -> None:
            ids.append(row[place].strip())
            cells.extend([_number(row[at]) for at in columns])

        return take

    if not _read_rows(location, ("id",), problems, begin):
        return None
    if not words:
        problems.add(f"{name} has no column for a word")
        return None
    problems.add_cases(
        f"{name} has columns that a spreadsheet which opens the predictions would run as formulas",
        [word for word in words if is_formula(word)],
    )
    repeated = [clip for clip, times in Counter(ids).items() if times > 1]
    problems.add_cases(f"{name} has ids more than once", repeated)
    values = np.array(cells, np.float64).reshape(len(ids), len(words))
    if labels:
        check_distributions(name, np.array(ids, object), values, problems)
    return Table(name, tuple(ids), tuple(words), values)


def _number(cell: str) -> float:
    """The number of a cell; NaN where it is none: Python's `1_000` and other digits are none."""
    try:
        return float(cell) if cell.isascii() and "_" not in cell else np.nan
    except ValueError:
        return np.nan


def read_csv(
    location: Location, required: Sequence[str], problems: Problems
) -> pd.DataFrame | None:
    """Read columns of a CSV file as text; None, with a problem noted, when it is no such table.

    Args:
        location: The file; UTF-8, with or without a byte order mark.
        required: The columns, which it must have.
        problems: Receives what is wrong.
    """
    found: list[list[str]] = []

    def begin(header: list[str]) -> Take:
        places = [header.index(column) for column in required]
        return lambda row: found.append([row[place] for place in places])

    if not _read_rows(location, required, problems, begin):
        return None
    return pd.DataFrame(found, columns=[*required], dtype="str")


def _read_rows(
    location: Location,
    required: Sequence[str],
    problems: Problems,
    begin: Callable[[list[str]], Take],
) -> bool:
    """Whether a file is a table with some columns; its rows are given away one by one.

    Args:
        location: The file.
        required: Columns that it must have.
        problems: Receives what is wrong.
        begin: Is given the header, and returns what takes the rows.
    """
    name, ragged = location.name, []
    try:
        with closing(_records(location)) as records:
            _, header = next(records)
            if not _is_usable(name, header, required, problems):
                return False
            take = begin(header)
            for line, row in records:
                if len(row) == len(header):
                    take(row)
                else:
                    ragged.append(f"line {line}")
    except (OSError, csv.Error, _NoTableError) as error:
        why = error.strerror if isinstance(error, OSError) else error
        problems.add(f"{name} cannot be read as a CSV table in UTF-8 ({why})")
        return False
    problems.add_cases(f"{name} has rows with more or fewer cells than its header", ragged)
    return True


def _is_usable(
    name: str, header: Sequence[str], required: Sequence[str], problems: Problems
) -> bool:
    missing = [column for column in required if column not in header]
    if missing:
        other = next((mark for mark in (";", "\t", "|") if mark in header[0]), None)
        hint = f" (cells are divided by commas, not by {other!r})" if other else ""
        what = f"{name} has no column {' or '.join(missing)}{hint}; its columns are"
        problems.add(what, header)
    repeated = sorted(column for column, times in Counter(header).items() if times > 1)
    problems.add_cases(f"{name} has columns more than once", repeated)
    nameless = [f"column {at}" for at, word in enumerate(header, 1) if not word.strip()]
    problems.add_cases(f"{name} has columns without a name", nameless)
    return not missing and not repeated and not nameless


def _records(location: Location) -> Generator[tuple[int, list[str]]]:
    """Line number and cells of every row that is not blank.

    Raises:
        _NoTableError: it is too large, or no text in UTF-8.
    """
    # Of other file systems fsspec's own files know no longest line.
    content = None if location.local is not None else io.BytesIO(_whole(location))
    with content or location.reading() as file:
        reader, empty = csv.reader(_lines(file), strict=True), True
        for row in reader:
            if row:
                empty = False
                yield reader.line_num, row
    if empty:
        raise _NoTableError("it is empty")


def _whole(location: Location) -> bytes:
    if (size := location.size()) > MOST_BYTES:
        raise _too_large(size)
    return location.read_bytes()


def _too_large(size: int) -> _NoTableError:
    return _NoTableError(f"{format_bytes(size)}, and {format_bytes(MOST_BYTES)} are the most")


def _lines(file: IO[bytes]) -> Iterator[str]:
    """The lines of a file; a lie about its size does not matter, nor one without line ends."""
    held = 0
    for number in count(1):
        line = file.readline(MOST_LINE_BYTES + 1)
        held += len(line)
        if not line:
            return
        if len(line) > MOST_LINE_BYTES:
            raise _NoTableError(f"line {number} has more than {MOST_LINE_BYTES >> 20} MiB")
        if held > MOST_BYTES:
            raise _too_large(held)
        try:
            yield line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            wrong = line[error.start]
            raise _NoTableError(f"line {number}: byte 0x{wrong:02x} is not UTF-8") from None


def check_distributions(
    name: str, ids: NDArray[np.object_], values: NDArray[np.float64], problems: Problems
) -> None:
    """Note rows that are no distributions.

    Args:
        name: Of the table, for messages.
        ids: (rows,).
        values: (rows, words).
        problems: Receives what is wrong.
    """
    finite = np.isfinite(values).all(axis=1)
    negative = finite & (values < 0).any(axis=1)
    with np.errstate(over="ignore", invalid="ignore"):  # 1e308 twice; infinities of both signs
        off = finite & ~negative & (np.abs(values.sum(axis=1) - 1) > ROW_SUM_TOLERANCE)
    problems.add_cases(f"{name} has rows with a cell that is not a number", ids[~finite])
    problems.add_cases(f"{name} has rows with a negative cell", ids[negative])
    problems.add_cases(f"{name} has rows that do not sum to 1", ids[off])


def match_ids(stems: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    """Find the file of every row of a table.

    An id names the file with that stem, or else the one whose stem looks the same. A bare number
    also names the one file whose stem ends in that number. An id is never a path: what no listed
    file is called names none.

    Args:
        stems: File stems, without repetitions.
        ids: Ids as a table writes them.

    Returns:
        (ids,) int64: index into `stems`, or -1 where no file, or more than one, fits.

    Examples:
        >>> match_ids(["train_00010", "train_00002"], ["2", "train_00010", "3"]).tolist()
        [1, 0, -1]
    """
    by_stem, by_bare, by_number = dict[str, int](), dict[str, int](), dict[int, int]()
    for index, stem in enumerate(stems):
        by_stem[stem], bare = index, _bare(stem)
        if bare != stem:
            by_bare[bare] = -1 if bare in by_bare else index
        found = re.search(r"[0-9]+$", stem)
        if found:
            number = int(found.group())
            by_number[number] = -1 if number in by_number else index
    by_stem = by_bare | by_stem

    def place(clip: str) -> int:
        if clip in by_stem:
            return by_stem[clip]
        if _is_number(clip):
            return by_number.get(int(clip), -1)
        return by_stem.get(_bare(clip), -1)

    return np.array([place(clip) for clip in ids], np.int64)


def _bare(text: str) -> str:
    """A name without what nobody sees: spaces around it, and letters taken apart, as macOS does."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
