"""What the file system below a folder is, and one that takes small files only."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path

import psutil


def file_system_of(path: str | PathLike[str]) -> str:
    """Return the type of the file system that contains a path, such as `ext4` or `tmpfs`."""
    folder = Path(path).resolve()
    holding = [
        part for part in psutil.disk_partitions(all=True) if folder.is_relative_to(part.mountpoint)
    ]
    return max(holding, key=lambda part: len(part.mountpoint)).fstype if holding else ""


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """Let writes of this process beyond `size` bytes of a file fail."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
