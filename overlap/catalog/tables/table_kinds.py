"""Recognises what a table of labels contains: rows of labels, a column per word, or times."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.label_kinds import ROW_SUM_TOLERANCE
from overlap.catalog.problems import printable
from overlap.catalog.tables.columns import (
    ColumnNames,
    ambiguous_columns,
    candidates,
    is_metadata,
    one_column,
)
from overlap.catalog.tables.multi_hot import is_multi_hot
from overlap.catalog.tables.text_tables import TextTable, all_numbers
from overlap.errors import DataError

Kind = Literal["distribution", "multi-hot", "long", "one-label", "segments"]

_SEPARATED: Final = re.compile("[|;,]")
"""Characters that may separate labels."""


@dataclass(frozen=True)
class TableKind:
    """What a table contains."""

    kind: Kind
    """The format."""
    file: str
    """Column of the files."""
    label: str
    """Column of the labels; empty for tables with a column per word."""
    words: tuple[str, ...]
    """Columns of the words; empty for rows of labels."""
    reason: str
    """Why, as a clause."""


def kind_of_table(
    table: TextTable, columns: ColumnNames, forced: str | None = None, sounds: Sequence[str] = ()
) -> TableKind | None:
    """Return what a table contains; None if it contains no labels of files.

    Args:
        table: The table.
        columns: The columns that the user names.
        forced: The format that the user chose.
        sounds: Paths of sound files, which distinguish several columns that may name the file.

    Raises:
        DataError: the table has two readings.
    """
    file = _file_column(table, columns.file, sounds)
    if file is None:
        return None
    wide = forced in ("distribution", "multi-hot")
    label = None if wide else one_column(table.name, table.columns, "label", columns.label)
    times = candidates(table.columns, "start") and candidates(table.columns, "end")
    if label is not None and times and forced not in ("long", "one-label"):
        reason = f"{table.name} has columns {label}, {times[0]} and {file}"
        return TableKind("segments", file, label, (), reason)
    words = _word_columns(table, file)
    numbers = bool(words) and all_numbers(table, words)
    if label is None or (numbers and forced is None and not columns.label and {*words} - {label}):
        if not numbers and not wide:
            return None
        return _wide(table, file, words, numbers)
    if numbers and forced is None and not columns.label and plausible_shares(table, words):
        raise two_readings(table.name, label)
    reason = f"{table.name} has columns {printable(file)} and {printable(label)}"
    names = [text for _, text in table.texts(file)]
    at = table.column(label)
    cells = [row[at] for _, row in table.rows]
    plain = all(isinstance(cell, str) and not _SEPARATED.search(cell) for cell in cells)
    single = plain and len({*names}) == len(names) and forced != "long"
    return TableKind("one-label" if single else "long", file, label, (), reason)


def _file_column(table: TextTable, named: str, sounds: Sequence[str]) -> str | None:
    found = candidates(table.columns, "file")
    if named or len(found) < 2:
        return one_column(table.name, table.columns, "file", named)
    known = {path.rpartition("/")[2] for path in sounds}
    known |= {name.rpartition(".")[0] for name in known}
    first = table.rows[: min(len(table.rows), 20)]
    matching = []
    for column in found:
        at = table.column(column)
        names = [str(row[at] or "").replace("\\", "/").rpartition("/")[2] for _, row in first]
        if any(name in known for name in names):
            matching.append(column)
    if len(matching) != 1:
        raise ambiguous_columns(table.name, matching or found, "file")
    return matching[0]


def _word_columns(table: TextTable, file: str) -> tuple[str, ...]:
    others = {file, *candidates(table.columns, "file")}
    return tuple(c for c in table.columns if c and c not in others and not is_metadata(c))


def shares(table: TextTable, words: Sequence[str]) -> NDArray[np.float64]:
    """Return the numbers of some columns; NaN for cells that are not numbers.

    Returns:
        (rows, words) float64.
    """
    at = [table.column(word) for word in words]
    values = np.full((len(table.rows), len(words)), np.nan)
    for index, (_, row) in enumerate(table.rows):
        for column, position in enumerate(at):
            cell = row[position]
            try:
                values[index, column] = float(cell) if isinstance(cell, str) else np.nan
            except ValueError:
                continue
    return values


def plausible_shares(table: TextTable, words: Sequence[str]) -> bool:
    """Return whether columns may contain shares: every row sums to 1, or the rows are multi-hot."""
    values = shares(table, words)
    sums = values.sum(axis=1)
    return bool((np.abs(sums - 1) <= ROW_SUM_TOLERANCE).all()) or is_multi_hot(values)


def two_readings(table: str, label: str) -> DataError:
    """Return the error of a column that contains either labels or shares."""
    return DataError(
        f"{table}, line 1: the table has two readings: {printable(label)} is the column of the "
        "labels, which are numbers, or a word whose shares it contains; set checks.label_format "
        "(`overlap import`: --format) to long or to distribution",
        code="ambiguous-labels",
        table=table,
        readings=("long", "distribution"),
    )


def _wide(table: TextTable, file: str, words: tuple[str, ...], numbers: bool) -> TableKind:
    hot = numbers and is_multi_hot(shares(table, words))
    cells = "only the numbers 0 and 1" if hot else "numbers"
    reason = f"{table.name} has the column {printable(file)} and {len(words)} columns of {cells}"
    return TableKind("multi-hot" if hot else "distribution", file, "", words, reason)
