"""Entries of folder listings, with a version that changes with the file's content."""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

TAGS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5", "CRC"),
    *("mtime", "LastModified", "last_modified", "modified", "created"),
)
"""fsspec fields that change with a file's content, the most reliable first."""


class Entry(NamedTuple):
    """One file of a folder."""

    name: str
    """File name without its folder."""
    size: int
    """Bytes."""
    version: str
    """Changes when the content does. On a local disk: size, inode and both times, because files
    of one size and one modification time are common in unpacked archives. In a zip archive: size
    and CRC. Elsewhere: size and the store's tag, or a random value if the store has no tag."""

    @classmethod
    def of_stat(cls, name: str, stat: os.stat_result) -> "Entry":
        """Create the entry of a file on a local disk."""
        size = stat.st_size
        return cls(name, size, f"{size}-{stat.st_ino}-{stat.st_mtime_ns}-{stat.st_ctime_ns}")

    @classmethod
    def of_info(cls, info: Mapping[str, Any]) -> "Entry":
        """Create the entry of a file on another file system, from fsspec's `info`."""
        size = int(info["size"] or 0)
        tag = tag_of(info)
        tag = secrets.token_hex(8) if tag is None else tag
        name: str = info["name"]  # `PurePosixPath` would take longer to split it
        return cls(name.rstrip("/").rpartition("/")[2], size, f"{size}-{tag}")


def tag_of(info: Mapping[str, Any]) -> object | None:
    """Return the fsspec field that changes with the file's content, or None."""
    # The CRC of an empty file is 0, which is a tag like any other.
    return next((info[name] for name in TAGS if info.get(name) not in (None, "")), None)


def local_entries(folder: Path, others: list[str] | None = None) -> Iterator[Entry]:
    """Yield the files directly in a folder on a local disk; links are followed.

    Args:
        folder: The folder.
        others: Receives the names of everything else: folders, pipes, devices, and broken or
            circular links.
    """
    with os.scandir(folder) as found:
        for item in found:
            try:
                stat = item.stat() if item.is_file() else None
            except OSError:  # a circular link, or a file that was just removed
                stat = None
            if stat is not None:
                yield Entry.of_stat(item.name, stat)
            elif others is not None:
                others.append(item.name)
