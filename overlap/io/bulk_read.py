"""Reads of many files at once; an unreadable file yields an error in its place."""

import os
from collections.abc import Sequence
from errno import EFBIG
from typing import Any

from overlap.io.formatting import format_bytes

Read = bytes | OSError
"""Content of a file, or the error of reading it."""

FIRST_READ_BYTES = 1 << 16
"""Bytes of the first read of a local file: more than a clip of one second has."""


class TooLargeError(OSError):
    """A file is larger than the limit; its content was not kept."""

    def __init__(self, size: int, *, at_least: bool = False) -> None:
        super().__init__(EFBIG, f"{'more than ' * at_least}{format_bytes(size)}")


def read_local(folder: str, names: Sequence[str], most: int | None = None) -> list[Read]:
    """Read files of a local folder one after the other.

    `pathlib` and file objects are avoided: with files in the page cache they would take longer than
    the reads.

    Args:
        folder: Path of the folder.
        names: Paths of the files below it.
        most: Largest size of a file, bytes; a larger one yields a `TooLargeError`. None: no limit.

    Returns:
        Contents or errors, in the order of `names`.
    """
    found: list[Read] = []
    for name in names:
        try:
            found.append(_read(f"{folder}/{name}", most))
        except OSError as error:
            found.append(error)
    return found


def read_remote(
    filesystem: Any,  # noqa: ANN401  fsspec
    paths: Sequence[str],
    most: int | None = None,
) -> list[Read]:
    """Read files of any fsspec file system.

    Asynchronous file systems (object stores, HTTP) read all files concurrently, within their
    connection pool. Others read one file after the other, because fsspec does not guarantee that
    their instances are thread-safe.

    Args:
        filesystem: An instance that is used synchronously.
        paths: Paths of files, taken literally: a name may contain `*` or `[`.
        most: Largest size of a file, bytes; a larger one yields a `TooLargeError`, and at most
            this much of it and one byte are fetched. None: no limit.

    Returns:
        Contents or errors, in the order of `paths`.
    """
    # A range from 0 is one request per file; for a whole file s3fs requests the size first.
    end = None if most is None else most + 1
    found = filesystem.cat_ranges([*paths], [0] * len(paths), [end] * len(paths))
    # An empty file has no byte 0, so stores reject the range.
    again = [index for index, content in enumerate(found) if isinstance(content, Exception)]
    if again:
        none = [None] * len(again)
        repeated = filesystem.cat_ranges([paths[index] for index in again], none, none)
        for index, content in zip(again, repeated, strict=True):
            found[index] = content
    return [_within(as_read(content), most) for content in found]


def _within(content: Read, most: int | None) -> Read:
    if most is not None and isinstance(content, bytes) and len(content) > most:
        return TooLargeError(most, at_least=True)
    return content


def as_read(content: object) -> Read:
    """Return what fsspec returned for one file; errors of other kinds become `OSError`."""
    if isinstance(content, OSError):
        return content
    if isinstance(content, Exception):
        error = OSError(f"{type(content).__name__}: {content}")
        error.__cause__ = content
        return error
    return bytes(content)  # type: ignore[call-overload,no-any-return]


def _read(path: str, most: int | None) -> bytes:
    file = os.open(path, os.O_RDONLY)
    try:
        content = os.read(file, FIRST_READ_BYTES)
        # A read may be short before the end on a network disk, so only an empty one is the end.
        if not (more := os.read(file, 1)):
            return content
        size, parts = os.fstat(file).st_size, [content, more]
        if most is not None and size > most:
            raise TooLargeError(size)
        held = len(content) + len(more)
        while part := os.read(file, max(FIRST_READ_BYTES, size)):
            parts.append(part)
            held += len(part)
            if most is not None and held > most:  # it grows, or has no known size
                raise TooLargeError(most, at_least=True)
        return b"".join(parts)
    finally:
        os.close(file)
