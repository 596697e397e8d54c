"""One file as the listing of a folder tells of it, and what changes with its content."""

import os
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

TAGS = (
    *("ETag", "etag", "generation", "md5Hash", "content_md5", "CRC"),
    *("mtime", "LastModified", "last_modified", "modified", "created"),
)
"""What fsspec's file systems call that which changes with a file's content; the best first."""


@dataclass(frozen=True)
class Entry:
    """One file of a folder."""

    name: str
    """File name without its folder."""
    size: int
    """Bytes."""
    version: str
    """Changes when the content does. On a local disk: size, inode and both times, because files
    of one size and one modification time are common in unpacked archives. In a zip archive: size
    and CRC. Elsewhere: size and the store's own tag; where it has none, a version of this one
    look."""

    @classmethod
    def of_stat(cls, name: str, stat: os.stat_result) -> "Entry":
        """A file of a local disk."""
        version = (stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns)
        return cls(name, stat.st_size, "-".join(map(str, version)))

    @classmethod
    def of_info(cls, info: Mapping[str, Any]) -> "Entry":
        """A file of any other file system, from what fsspec says of it."""
        size = int(info["size"] or 0)
        tag = tag_of(info)
        tag = secrets.token_hex(8) if tag is None else tag
        return cls(PurePosixPath(info["name"]).name, size, f"{size}-{tag}")


def tag_of(info: Mapping[str, Any]) -> object | None:
    """What of fsspec's word on a file changes with its content; None where nothing does."""
    # The CRC of an empty file is 0, which is a tag like any other.
    return next((info[name] for name in TAGS if info.get(name) not in (None, "")), None)


def local_entries(folder: Path, others: list[str] | None = None) -> Iterator[Entry]:
    """Files directly in a folder of a local disk; links are followed, wherever they lead.

    Args:
        folder: The folder.
        others: Receives the names of what is no file: folders, pipes, devices, and links that lead
            nowhere, or to themselves.
    """
    with os.scandir(folder) as found:
        for item in found:
            try:
                stat = item.stat() if item.is_file() else None
            except OSError:  # a link that leads to itself; a file that was just removed
                stat = None
            if stat is not None:
                yield Entry.of_stat(item.name, stat)
            elif others is not None:
                others.append(item.name)
