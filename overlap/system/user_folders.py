"""Folders of this user for files that can be created again: a cache, or private temporary files."""

import os
import pwd
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path


def temporary_folder() -> Path:
    """Return the name of this user's folder among the temporary files; it may not exist yet."""
    # A child's own folder of temporary files is removed with it (`overlap.system.child_process`).
    lasting = os.environ.get("OVERLAP_PARENT_TMPDIR") or tempfile.gettempdir()
    return Path(lasting) / f"overlap-{os.getuid()}"


def cache_folders() -> list[Path]:
    """Return the folders that may hold caches, the preferred one first."""
    # For a user without a home this stays "~/.cache", which is relative and therefore skipped.
    cache = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    return [folder for folder in (Path(cache), temporary_folder()) if folder.is_absolute()]


def private_folders(candidates: Iterable[Path], name: str) -> Iterator[Path]:
    """Create `overlap/<name>` in each candidate; yield those that belong to this user."""
    for candidate in candidates:
        folder = candidate / "overlap" / name
        # Another user could create a folder of that name among the temporary files.
        if (candidate != temporary_folder() or is_private(candidate)) and is_private(folder):
            yield folder


def is_private(folder: Path) -> bool:
    """Create a folder, and return whether only this user can write to it."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError:
        return False
    return about.st_uid == os.getuid() and not about.st_mode & 0o022 and os.access(folder, os.W_OK)


def has_home() -> bool:
    """Return whether this user has a home: HOME, or an entry in the user database."""
    if "HOME" in os.environ:
        return True
    try:
        return bool(pwd.getpwuid(os.getuid()).pw_dir)
    except KeyError:
        return False
