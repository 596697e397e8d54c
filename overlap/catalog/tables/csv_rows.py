"""Reads the rows of a CSV file one by one, within bounded memory, whatever the file contains."""

import csv
import io
from collections.abc import Generator, Iterator
from itertools import count
from typing import Protocol

from overlap.io.file_kinds import kind_of_content
from overlap.io.formatting import format_bytes
from overlap.io.location import Location

MAX_BYTES = 1 << 30
"""Size limit of a table: ten million clips of a dozen words. Its numbers take at most four times as
much memory."""
MAX_LINE_BYTES = 16 << 20
"""Size limit of a line: a million columns. A longer one means that the file is not a table."""
MAX_HEADER_BYTES = 64 << 10
"""Size limit of a header that `first_row` reads."""
INSPECTED_BYTES = 512
"""Bytes at the beginning of a file that show its kind."""


class LineReader(Protocol):
    """A binary file, such as an opened one or a gzip file that is unpacked while it is read."""

    def readline(self, size: int, /) -> bytes:
        """Return the rest of the line, or its first bytes."""
        ...


class TableError(Exception):
    """A file is not a CSV table in UTF-8: the fault, and the code of the problem."""

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


def numbered_rows(
    location: Location, delimiter: str = ",", *, skip_spaces: bool = False
) -> Generator[tuple[int, list[str]]]:
    """Yield line number and cells of every row that is not blank.

    Args:
        location: A file in UTF-8, with or without a byte order mark.
        delimiter: Separates the cells.
        skip_spaces: Whether spaces after a delimiter are no part of the cell, so that a quote may
            follow them.

    Raises:
        TableError: it is empty, too large, not valid UTF-8, or not valid CSV.
    """
    # The files of fsspec for other file systems cannot limit the length of a line.
    content = None if location.local is not None else io.BytesIO(_whole(location))
    with content or location.reading() as file:
        _check_kind(file.read(INSPECTED_BYTES))
        file.seek(0)
        lines = (
            decoded_line(number, line, "save the table as CSV UTF-8")
            for number, line in bounded_lines(file)
        )
        reader = csv.reader(lines, strict=True, delimiter=delimiter, skipinitialspace=skip_spaces)
        empty = True
        rows = iter(reader)
        while True:
            try:
                row = next(rows, None)
            except csv.Error as error:
                message = f"line {reader.line_num}: {error}{_quote_hint(str(error))}"
                raise TableError(message, "malformed-csv") from None
            if row is None:
                break
            if row:
                empty = False
                yield reader.line_num, row
    if empty:
        raise TableError("the file is empty", "empty-table")


def first_row(location: Location, delimiter: str = ",") -> list[str]:
    """Return the cells of the first row that is not blank, reading only the start of the file.

    Returns:
        The cells as written; empty if the file has no such row within `MAX_HEADER_BYTES`, or
        is not text in UTF-8. `numbered_rows` reports why.
    """
    with location.reading() as file:
        start = file.read(MAX_HEADER_BYTES)
    text = start.decode("utf-8-sig", errors="replace")
    lines = text.splitlines(keepends=True)
    whole = lines if len(start) < MAX_HEADER_BYTES else lines[:-1]
    try:
        return next((row for row in csv.reader(whole, delimiter=delimiter) if row), [])
    except csv.Error:
        return []


def _quote_hint(fault: str) -> str:
    quoted = "field limit" in fault or "end of data" in fault
    return "; a quote in front of this line is not closed, or the cell is no text" * quoted


def _check_kind(start: bytes) -> None:
    kind = kind_of_content(start)
    if kind is not None:
        code = "table-not-utf8" if kind.is_text else "not-a-csv"
        raise TableError(f"line 1: the file is {kind.name}; {kind.remedy}", code)


def _whole(location: Location) -> bytes:
    if (size := location.size()) > MAX_BYTES:
        raise _too_large(size)
    return location.read_bytes()


def _too_large(size: int) -> TableError:
    message = f"{format_bytes(size)} exceed the limit of {format_bytes(MAX_BYTES)}"
    return TableError(message, "table-too-large")


def bounded_lines(file: LineReader) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of the lines of a file, from 1.

    Memory is bounded, even without line breaks or a true size.

    Raises:
        TableError: a line is too long, or the file too large.
    """
    total = 0
    for number in count(1):
        line = file.readline(MAX_LINE_BYTES + 1)
        total += len(line)
        if not line:
            return
        if len(line) > MAX_LINE_BYTES:
            message = f"line {number} is longer than {MAX_LINE_BYTES >> 20} MiB"
            raise TableError(message, "line-too-long")
        if total > MAX_BYTES:
            raise _too_large(total)
        yield number, line


def decoded_line(number: int, line: bytes, remedy: str) -> str:
    """Return the text of a line in UTF-8, without a byte order mark in the first.

    Raises:
        TableError: it is not UTF-8; the message ends with the remedy.
    """
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        wrong = line[error.start]
        message = f"line {number}: byte 0x{wrong:02x} is not valid UTF-8; {remedy}"
        raise TableError(message, "table-not-utf8") from None
