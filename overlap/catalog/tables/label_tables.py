"""Reads the CSV tables of a data set: labels, template of the submission, groups.

The tables come from users, so that everything about them may be wrong: every fault is reported as
a problem, and memory stays bounded.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog.cell_text import CellTexts, normal_text, repeated_texts
from overlap.catalog.label_kinds import DIVIDE
from overlap.catalog.problems import Problems
from overlap.catalog.spreadsheet_formulas import is_formula
from overlap.catalog.tables.csv_rows import TableError, numbered_rows
from overlap.catalog.tables.multi_hot import shares_of_rows
from overlap.catalog.tables.text_tables import report_unreadable
from overlap.columns.frames import text_series
from overlap.columns.search import repeated
from overlap.columns.temporary_files import NumberBuilder
from overlap.columns.texts import TextBuilder, TextColumn, texts_where
from overlap.config.features import LabelTableFormat
from overlap.io.location import Location

RowConsumer = Callable[[list[str]], None]
"""Receives the cells of a row."""


@dataclass(frozen=True)
class Table:
    """A table with one row per clip and one column per word."""

    name: str
    """Name of the file, for messages."""
    ids: Sequence[str]
    """The ids as written in the table without surrounding white space, in its order."""
    words: tuple[str, ...]
    """The columns after the id in their normal form, in the table's order."""
    values: NDArray[np.float64]
    """(rows, words) float64; NaN for cells that are not numbers."""


def read_table(
    location: Location, problems: Problems, *, labels: bool, extra_column: str = "",
    remedy: str = DIVIDE, label_format: LabelTableFormat = "distribution",
) -> Table | None:  # fmt: skip
    """Read a table and check everything that does not depend on the clips.

    The table is read row by row: only its ids and numbers are in memory, never its text.

    Args:
        location: A CSV file with a column `id` and one column per word.
        problems: Receives the faults of the table.
        labels: Whether the rows are labels, each of which becomes a distribution.
        extra_column: Name of an optional column that is not a word.
        remedy: What the message advises about rows that do not sum to 1.
        label_format: How the rows are read if they are labels: as distributions, as multi-hot
            rows, or as what their cells show.

    Returns:
        The table, or None if the file cannot be read as a table.
    """
    name, ids, cells, words = location.name, TextBuilder(), NumberBuilder(), list[str]()
    texts, unreadable = CellTexts(name), list[str]()

    def number(cell: str) -> float:
        value = _number(cell)
        if value != value and not unreadable:  # noqa: PLR0124  NaN
            unreadable.append(cell)
        return value

    def on_header(header: list[str]) -> RowConsumer:
        id_column = header.index("id")
        columns = [at for at, word in enumerate(header) if word not in ("id", extra_column)]
        words.extend(header[at] for at in columns)

        def consume(row: list[str]) -> None:
            ids.append(texts.id(row[id_column]))
            cells.extend([number(row[at]) for at in columns])

        return consume

    if not _read_rows(location, ("id",), problems, texts, on_header):
        return None
    if not words:
        problems.add(f"{name} has no column for a word", code="no-word-columns")
        return None
    texts.report(problems)
    problems.add_cases(
        f"{name} has column names that a spreadsheet that opens the predictions would execute as "
        "formulas",
        [word for word in words if is_formula(word)],
        code="columns-are-formulas",
    )
    clips, values = TextColumn(ids.finish()), cells.finish().reshape(-1, len(words))
    several = dict.fromkeys(texts_where(clips, repeated(clips)))
    problems.add_cases(f"{name} has duplicate ids", several, code="duplicate-ids")
    if labels:
        rows = (name, clips, values)
        values = shares_of_rows(*rows, problems, label_format, "".join(unreadable), remedy)
    return Table(name, clips, tuple(words), values)


def _number(cell: str) -> float:
    """Return the number in a cell, else NaN; `1_000` and non-ASCII digits are not numbers."""
    cell = cell if cell.isascii() else normal_text(cell)
    try:
        return float(cell) if cell.isascii() and "_" not in cell else np.nan
    except ValueError:
        return np.nan


def read_csv(
    location: Location, required: Sequence[str], problems: Problems
) -> pd.DataFrame | None:
    """Read columns of a CSV file as text; return None if it is not such a table.

    Cells have their normal form; ids have no surrounding white space.

    Args:
        location: The file; UTF-8, with or without a byte order mark.
        required: Names of the columns, all of which the file must have.
        problems: Receives the faults of the table, and the columns that are not used.
    """
    texts, cells = CellTexts(location.name), {column: TextBuilder() for column in required}

    def on_header(header: list[str]) -> RowConsumer:
        columns = [(column, header.index(column)) for column in required]
        problems.add_cases(
            f"{location.name} has columns that are not used",
            [column for column in header if column not in required],
            code="unused-columns",
            fatal=False,
        )

        def consume(row: list[str]) -> None:
            for column, at in columns:
                cell = row[at]
                text = texts.id(cell) if column == "id" else texts.normal(cell, column)
                cells[column].append(text)

        return consume

    if not _read_rows(location, required, problems, texts, on_header):
        return None
    texts.report(problems)
    return pd.DataFrame({name: text_series(column.finish()) for name, column in cells.items()})


def _read_rows(
    location: Location,
    required: Sequence[str],
    problems: Problems,
    texts: CellTexts,
    on_header: Callable[[list[str]], RowConsumer],
) -> bool:
    """Pass the rows of a table to a consumer one by one.

    Args:
        location: The file.
        required: Columns that it must have.
        problems: Receives the faults of the table.
        texts: Normalises the names of the columns.
        on_header: Receives the normalised header and returns the consumer of the rows.

    Returns:
        Whether the file is a table with the required columns.
    """
    name, ragged = location.name, []
    try:
        with closing(numbered_rows(location)) as rows:
            _, written = next(rows)
            header = [texts.normal(column, "column name") for column in written]
            if not _is_usable(name, written, header, required, problems):
                return False
            consume = on_header(header)
            for line, row in rows:
                if len(row) == len(header):
                    consume(row)
                else:
                    ragged.append(f"line {line}")
    except (OSError, TableError) as error:
        report_unreadable(error, name, "CSV table in UTF-8", problems)
        return False
    problems.add_cases(
        f"{name} has rows with more or fewer cells than its header", ragged, code="ragged-rows"
    )
    return True


def _is_usable(
    name: str,
    written: Sequence[str],
    header: Sequence[str],
    required: Sequence[str],
    problems: Problems,
) -> bool:
    """Report the faults of a header; return whether the table can be read with it.

    Args:
        name: Name of the table.
        written: The column names as written.
        header: Their normal form.
        required: Columns that the table must have.
        problems: Receives the faults.
    """
    missing = [column for column in required if column not in header]
    if missing:
        other = next((mark for mark in (";", "\t", "|") if mark in written[0]), None)
        hint = _column_hint(missing, header)
        if other:
            hint = f" (the separator must be a comma, not {other!r}; save the table as CSV UTF-8)"
        message = f"{name} has no column {' or '.join(missing)}{hint}; its columns are"
        separated = other is not None and {*missing} <= {*map(normal_text, written[0].split(other))}
        code = "wrong-separator" if separated else "missing-columns"
        problems.add(message, header, code=code)
    repeated = repeated_texts(header, written)
    problems.add_cases(f"{name} has duplicate columns", repeated, code="duplicate-columns")
    unnamed = [f"column {at}" for at, word in enumerate(header, 1) if not word]
    index = "; if pandas wrote the table, write it with index=False" if not header[0] else ""
    problems.add_cases(f"{name} has columns without a name{index}", unnamed, code="unnamed-columns")
    return not missing and not repeated and not unnamed


def _column_hint(missing: Sequence[str], header: Sequence[str]) -> str:
    """Suggest to rename a column whose name differs in case from a missing one."""
    found = [(c, m) for m in missing for c in header if c.casefold() == m.casefold()]
    return "".join(f" (rename {column} to {wanted})" for column, wanted in found)
