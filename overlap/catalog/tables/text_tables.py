"""Tables of text cells with line numbers: CSV, TSV and JSON lines of any columns."""

import gzip
import json
import sys
import zlib
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from typing import Any, Final

from overlap.catalog.cell_text import CellTexts, repeated_texts
from overlap.catalog.problems import Problems, printable
from overlap.catalog.tables.csv_rows import (
    TableError,
    bounded_lines,
    decoded_line,
    numbered_rows,
)
from overlap.io.location import Location

Cell = str | list[str] | None
"""A cell: text, a list of texts (JSON lines only), or None where it is absent."""
MAX_INTERNED: Final = 64
"""Characters of the longest cell of which equal copies share their memory."""
TABLE_SUFFIXES: Final = (".csv", ".tsv")
"""Suffixes of tables whose cells a character separates."""
JSON_SUFFIXES: Final = (".jsonl", ".jsonl.gz")
"""Suffixes of files with a JSON object per line."""


@dataclass(frozen=True)
class TextTable:
    """The cells of a table."""

    name: str
    """Path of the file relative to the data folder, for messages."""
    columns: tuple[str, ...]
    """Names of the columns in their normal form."""
    rows: list[tuple[int, list[Cell]]] = field(repr=False)
    """Line number, counted from 1, and cells of every row."""

    def place(self, line: int, value: object = "") -> str:
        """Name a row in a message: its line, and what is wrong or identifies it."""
        shown = printable(str(value), 80) if value != "" else ""
        return f"line {line}" + (f" ({shown})" if shown else "")

    def column(self, name: str) -> int:
        """Return the index of a column."""
        return self.columns.index(name)

    def texts(self, name: str) -> Iterator[tuple[int, str]]:
        """Yield line and text of every cell of a column; lists and absent cells as empty text."""
        at = self.column(name)
        for line, row in self.rows:
            cell = row[at]
            yield line, cell if isinstance(cell, str) else ""


def delimiter_of(name: str) -> str:
    """Return the character that separates the cells of a table, by its suffix."""
    return "\t" if name.lower().endswith(".tsv") else ","


def read_text_table(
    location: Location, name: str, problems: Problems, texts: CellTexts
) -> TextTable | None:
    """Read a table with all of its cells; return None if it is unusable.

    Args:
        location: The file: UTF-8, with or without a byte order mark.
        name: Its path relative to the data folder, for messages.
        problems: Receives the faults of the file.
        texts: Normalises the names of the columns.
    """
    if name.lower().endswith(JSON_SUFFIXES):
        return _from_json_lines(location, name, problems)
    rows, ragged, header, written = list[tuple[int, list[Cell]]](), [], list[str](), list[str]()
    try:
        with closing(numbered_rows(location, delimiter_of(name))) as numbered:
            for line, cells in numbered:
                if not header:
                    written, header = cells, [texts.normal(cell, "column name") for cell in cells]
                elif len(cells) != len(header):
                    ragged.append(f"line {line}")
                else:
                    rows.append((line, [*map(_interned, cells)]))
    except (OSError, TableError) as error:
        report_unreadable(error, name, "CSV table in UTF-8", problems)
        return None
    problems.add_cases(
        f"{name} has rows with more or fewer cells than its header; correct them (a cell that "
        "contains a comma needs quotes)",
        ragged,
        code="ragged-rows",
    )
    repeated = repeated_texts(header, written)
    problems.add_cases(
        f"{name} has duplicate columns; rename them", repeated, code="duplicate-columns"
    )
    if repeated or ragged:
        return None
    if not rows:
        problems.add(f"{name} has a header, but no rows; add them", code="no-rows")
        return None
    return TextTable(name, tuple(header), rows)


def report_unreadable(error: Exception, name: str, kind: str, problems: Problems) -> None:
    """Report a file that cannot be read as the kind of table that it should be."""
    fault = error.strerror if isinstance(error, OSError) and error.strerror else error
    code = error.code if isinstance(error, TableError) else "table-not-readable"
    problems.add(f"{name} cannot be read as a {kind}: {fault}", code=code)


def json_objects(location: Location, name: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield line number and content of each JSON object of a file; gzip is unpacked.

    Raises:
        TableError: a line is not a JSON object in UTF-8, is too long, or the file is too large.
        OSError: the file cannot be read.
    """
    with closing(_json_lines(location, name)) as lines:
        for number, line in lines:
            text = decoded_line(number, line, "save the file as UTF-8")
            try:
                content = json.loads(text, parse_constant=_no_constant) if text.strip() else None
            except (ValueError, RecursionError) as error:
                raise TableError(
                    f"line {number} is not valid JSON ({error}); write one object per line",
                    "malformed-json",
                ) from None
            if content is None:
                continue
            if not isinstance(content, dict):
                raise TableError(
                    f"line {number} is not a JSON object; write one object per line",
                    "malformed-json",
                )
            if "\\ud" in text.lower() and not _is_unicode(content):
                raise TableError(
                    f"line {number} has half of a surrogate pair; export the file again as UTF-8",
                    "malformed-json",
                )
            yield number, content


def _is_unicode(content: object) -> bool:
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return False
    return True


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number in JSON")


def _json_lines(location: Location, name: str) -> Generator[tuple[int, bytes]]:
    with location.reading() as content:
        file = gzip.GzipFile(fileobj=content) if name.lower().endswith(".gz") else content
        number = 0
        try:
            for number, line in bounded_lines(file):
                yield number, line
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise TableError(
                f"line {number + 1}: the file is not complete gzip data ({error}); download or "
                "export it again",
                "malformed-gzip",
            ) from None


def _from_json_lines(location: Location, name: str, problems: Problems) -> TextTable | None:
    columns, rows = dict[str, int](), list[tuple[int, list[Cell]]]()
    try:
        for line, content in json_objects(location, name):
            for key in content:
                columns.setdefault(key, len(columns))
            row: list[Cell] = [None] * len(columns)
            for key, value in content.items():
                row[columns[key]] = _cell(value)
            rows.append((line, row))
    except (OSError, TableError) as error:
        report_unreadable(error, name, "file of JSON lines", problems)
        return None
    if not rows:
        problems.add(f"{name} is empty; it needs one JSON object per line", code="empty-table")
        return None
    for _, row in rows:
        row.extend([None] * (len(columns) - len(row)))
    return TextTable(name, tuple(columns), rows)


def _cell(value: object) -> Cell:
    if value is None or isinstance(value, dict):
        return None
    if isinstance(value, str):
        return _interned(value)
    if isinstance(value, list):
        return [_interned(one if isinstance(one, str) else json.dumps(one)) for one in value]
    return json.dumps(value)


def _interned(text: str) -> str:
    return sys.intern(text) if len(text) <= MAX_INTERNED else text


def is_number(text: str) -> bool:
    """Return whether a cell is a finite number as programs write it.

    Examples:
        >>> is_number("0.5"), is_number("1e-3"), is_number("1_0"), is_number("nan"), is_number("")
        (True, True, False, False, False)
    """
    try:
        value = float(text) if text.isascii() and "_" not in text else float("nan")
    except ValueError:
        return False
    return abs(value) < float("inf")


def all_numbers(table: TextTable, columns: Sequence[str]) -> bool:
    """Return whether every cell of some columns is a number."""
    return all(is_number(text) for column in columns for _, text in table.texts(column))
