"""Reading many files at once; one that cannot be read is an error in its place, not an end."""

import os
from collections.abc import Sequence
from errno import EFBIG
from typing import Any

from overlap.io.formatting import format_bytes

Read = bytes | OSError
"""The content of a file, or why there is none."""

AT_ONCE = 1 << 16
"""Bytes asked of a local disk first: more than a clip of one second holds."""


class TooLargeError(OSError):
    """A file holds more than was asked for; its content was not kept."""

    def __init__(self, size: int, *, at_least: bool = False) -> None:
        super().__init__(EFBIG, f"{'more than ' * at_least}{format_bytes(size)}")


def read_local(folder: str, names: Sequence[str], most: int | None = None) -> list[Read]:
    """Files of a local folder, one after the other.

    No `pathlib`, no file objects: from the page cache they would take longer than the reading.

    Args:
        folder: Its path.
        names: Files below it.
        most: Bytes of a file, at most; a larger one is a `TooLargeError`. None: any number.

    Returns:
        In the order of `names`.
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
    """Files of any fsspec file system.

    Asynchronous ones (object stores, HTTP) read all files at once, as far as their pool of
    connections goes; others one after the other, because fsspec does not promise that their
    instances may be used by several threads.

    Args:
        filesystem: An instance that is used synchronously.
        paths: Of any files, taken literally: a name may hold `*` or `[`.
        most: Bytes of a file, at most; a larger one is a `TooLargeError`, and no more than this of
            it is fetched. None: any number.

    Returns:
        In the order of `paths`.
    """
    # A range from 0 is one request per file; asked for a whole file, s3fs asks its size first.
    end = None if most is None else most + 1
    found = filesystem.cat_ranges([*paths], [0] * len(paths), [end] * len(paths))
    # An empty file has no byte 0: stores answer that such a range does not exist.
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
    """What fsspec returned for one file; its own kinds of errors become `OSError`."""
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
        content = os.read(file, AT_ONCE)
        # A read may be short before the end on a network disk, so only an empty one is the end.
        if not (more := os.read(file, 1)):
            return content
        size, parts = os.fstat(file).st_size, [content, more]
        if most is not None and size > most:
            raise TooLargeError(size)
        held = len(content) + len(more)
        while part := os.read(file, max(AT_ONCE, size)):
            parts.append(part)
            held += len(part)
            if most is not None and held > most:  # it grows, or tells no size
                raise TooLargeError(most, at_least=True)
        return b"".join(parts)
    finally:
        os.close(file)
