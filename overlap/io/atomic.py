"""Local files and folders that appear as a whole, never in part."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final

from overlap.errors import OverlapError, UserError

NOT_WRITABLE: Final = (
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT),
    *(errno.EFBIG, errno.ENOTDIR, errno.ENAMETOOLONG, errno.ELOOP),
)
"""Errors of a folder that cannot be created or filled."""
NAME_BYTES: Final = 255
"""Longest name of a file on the usual file systems, bytes."""


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
        with temporary.open("xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Create a folder that appears under its name only when it is complete.

    A link to a folder stays a link, and an empty folder keeps its mode and owner. A link or a
    mount point, such as a volume of a container, is filled at the end, item by item.

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
    before = path.stat() if path.exists() else None
    # A link or a mount point cannot be replaced by another folder.
    inside = path.is_symlink() or path.is_mount() or not os.access(path.parent, os.W_OK)
    part = path / _temporary(path).name if before and inside else _temporary(_resolved(path))
    _unfinished.add(part)
    try:
        part.mkdir(parents=True)
        yield part
        if before is None:
            part.rename(_resolved(path))
            return
        with suppress(OSError):  # a mount point
            if not inside:
                part.chmod(stat.S_IMODE(before.st_mode))
                os.chown(part, before.st_uid, before.st_gid)
                path.rmdir()
                part.rename(path)
                return
        for item in sorted(part.iterdir()):
            shutil.move(item, path / item.name)
    except OSError as error:
        if isinstance(error, OverlapError) or error.errno not in NOT_WRITABLE:
            raise
        raise UserError(
            f"{path}: cannot be written: {error.strerror}; name another --out",
            code="out-not-writable",
            path=str(path),
            reason=errno.errorcode[error.errno],
        ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
        _unfinished.discard(part)


_unfinished: set[Path] = set()
"""Folders that blocks of `new_folder` are filling or removing."""


def remove_unfinished() -> None:
    """Remove the folders that are not complete; for a process that is about to exit."""
    for part in [*_unfinished]:
        shutil.rmtree(part, ignore_errors=True)


def _resolved(path: Path) -> Path:
    """Return the folder that a link names, which may not exist yet."""
    return path.resolve() if path.is_symlink() else path


def temporary_name(path: Path) -> str:
    """Return the name of a temporary file or folder next to `path`; not longer than allowed."""
    suffix = f".{secrets.token_hex(4)}.part"
    kept = os.fsencode(path.name)[: NAME_BYTES - 1 - len(suffix)]
    return f".{kept.decode(errors='ignore')}{suffix}"


def _temporary(path: Path) -> Path:
    return path.with_name(temporary_name(path))
