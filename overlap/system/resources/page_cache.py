"""The kernel's cache of files: what this process read past it, and how to empty it."""

import os
from pathlib import Path

import psutil


def bytes_read() -> int:
    """Return how many bytes this process has made disks read so far; 0 where it is not counted.

    What the page cache provides does not count.
    """
    try:
        return int(psutil.Process().io_counters().read_bytes)
    except (AttributeError, psutil.Error):  # macOS does not count it; a container may forbid it
        return 0


def evict(folder: Path) -> None:
    """Remove the files of a folder from the page cache, so that the next reader needs the disk.

    Does nothing where the system cannot do that, as on macOS.
    """
    if not hasattr(os, "posix_fadvise"):
        return
    for path in folder.rglob("*"):
        if path.is_file():
            file = os.open(path, os.O_RDONLY)
            try:
                os.fsync(file)  # a page that is not on the disk yet cannot be removed
                os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(file)
