"""What the file system below a folder is."""

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
