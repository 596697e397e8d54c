"""Local files and folders that appear as a whole, never in part."""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from overlap.errors import UserError


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """Replace a file as a whole: a reader sees the old content or the new one.

    Args:
        path: The file; its parent folders are created.

    Yields:
        A file to fill. It takes the place of `path` once it is on the disk, and is removed if the
        block fails.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = _temporary(path)
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Create a folder that appears under its name only when it is complete.

    Everything that writes into the folder must have ended when the block ends.

    Args:
        path: Its name; must not exist yet, or be an empty folder.

    Yields:
        The folder to fill; it is removed if the block fails.

    Raises:
        UserError: `path` is the current folder (`current-folder`) or is not empty
            (`folder-not-empty`).
    """
    path = path.absolute()
    if path.resolve() == Path.cwd():  # the shell would stay in a folder that no longer exists
        raise UserError(
            "--out is the current folder; name a folder in it",
            code="current-folder",
            path=str(path),
        )
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise UserError(
            f"{path}: exists and is not empty; choose another --out, or remove it",
            code="folder-not-empty",
            path=str(path),
        )
    part = _temporary(path)
    _unfinished.add(part)
    try:
        part.mkdir(parents=True)
        yield part
        if path.exists():
            path.rmdir()
        part.rename(path)
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _unfinished.discard(part)


_unfinished: set[Path] = set()
"""Folders that blocks of `new_folder` are filling or removing."""


def remove_unfinished() -> None:
    """Remove the folders that are not complete; for a process that is about to exit."""
    for part in [*_unfinished]:
        shutil.rmtree(part, ignore_errors=True)


def _temporary(path: Path) -> Path:
    return path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
