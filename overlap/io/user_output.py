"""Outputs that a user names, such as `--out`: written as a shell's redirection would write them.

Files of a workspace belong to overlap and are replaced by a new file. A user's output is not:
a link stays a link and its target is written, an existing file keeps its mode and owner, and
devices and pipes are written to. An existing file is replaced atomically where that keeps all of
this, and otherwise written in place, after its space is allocated, so that a full disk does not
cost the old content.
"""

import errno
import io
import os
import re
import stat
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Final, Literal

from overlap.errors import UserError
from overlap.io.atomic import replacing
from overlap.io.location import Location
from overlap.io.storage_errors import describe

STDOUT: Final = "-"
"""Name of the standard output."""
LINKS: Final = 40
"""Links that are followed, as in Linux."""
NOTICE_SECONDS: Final = 3.0
"""Time without a reader of a pipe after which this is reported on standard error."""
READER_SECONDS: Final = 60.0
"""Time that the reader of a pipe may take to open it."""
CANNOT_RENAME: Final = (
    errno.EBUSY,  # the file is a mount point, as in `docker --volume FILE:FILE`
    errno.EXDEV,
    errno.EPERM, errno.EACCES,  # the folder is not writable, or is sticky and the file another's
    errno.EROFS,  # the folder is read-only, the file is mounted in it
    errno.ENAMETOOLONG,  # a file system with shorter names
    errno.ENOTSUP, errno.ENOSYS,
)  # fmt: skip
"""Errors of a replacement after which the file itself may still be writable."""

Kind = Literal["new", "file", "stream", "remote"]
"""`stream`: a device, a pipe or an open descriptor."""


def output_location(text: str) -> Location:
    """Return the location of a user's output; `-` is the standard output.

    Raises:
        UserError: as in `Location.of`.
    """
    return Location("/dev/stdout") if text == STDOUT else Location.of(text)


def is_stdout(location: Location) -> bool:
    """Return whether an output is the standard output of this process."""
    return location.local is not None and _descriptor(location.local) == 1


def is_stream(location: Location) -> bool:
    """Return whether an output is an open descriptor, a device or a pipe."""
    if location.local is None:
        return False
    if _descriptor(location.local) is not None:
        return True
    try:
        mode = location.local.stat().st_mode
    except OSError:
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)


def check_output(location: Location, example: str) -> Kind:
    """Refuse an output that cannot be written, before any work for it.

    Args:
        location: The output.
        example: Name of a file in a folder, for the message about a folder.

    Returns:
        The kind of the output.

    Raises:
        UserError: the output is in a zip archive (`read-only-archive`), a folder
            (`out-is-folder`), a socket (`out-is-socket`), a disk (`out-is-block-device`), or
            cannot be written (`out-not-writable`).
    """
    location.check_writable()
    if location.local is None:
        if location.is_folder():
            raise _is_folder(location, example)
        return "remote"
    if _descriptor(location.local) is not None:  # its path may not exist, as in a container
        return "stream"
    with _reported(location):
        target = _resolved(location.local)
        try:
            mode = target.stat().st_mode
        except FileNotFoundError:
            folder = next(parent for parent in target.parents if os.path.lexists(parent))
            if not folder.is_dir():
                raise NotADirectoryError(errno.ENOTDIR, f"{folder} is not a folder") from None
            if not os.access(folder, os.W_OK | os.X_OK):
                raise PermissionError(
                    errno.EACCES, f"the folder {folder} is not writable"
                ) from None
            with tempfile.TemporaryFile(dir=folder):  # a file system without files, such as /proc
                return "new"
        if stat.S_ISDIR(mode):
            raise _is_folder(location, example)
        _check_kind(location, mode)
        if not os.access(target, os.W_OK):
            raise PermissionError(errno.EACCES, "the file is read-only")
    return "file" if stat.S_ISREG(mode) else "stream"


def write_output(location: Location, data: bytes) -> None:
    """Write an output as a whole, like `writing_output`."""
    with writing_output(location) as file:
        file.write(data)


@contextmanager
def writing_output(location: Location) -> Iterator[IO[bytes]]:
    """Yield a file to fill, whose content then becomes the output.

    The content is complete before the output is touched. Parent folders are created.

    Raises:
        UserError: the output cannot be written; see `check_output`.
        StorageError: a remote output cannot be written.
    """
    kind = check_output(location, location.name)
    if kind == "remote" or location.local is None:
        with location.writing() as file:
            yield file
        return
    buffer = io.BytesIO()
    yield buffer
    with _reported(location):
        if kind == "stream":
            _write_stream(location.local, buffer.getbuffer())
        else:
            _write_file(_resolved(location.local), buffer.getbuffer())


def _write_file(target: Path, data: memoryview) -> None:
    """Replace a file by a new one with the same mode and owner, or write it in place."""
    before = target.stat() if target.exists() else None
    if before is not None and before.st_nlink > 1:  # its other names show the new content too
        _write_in_place(target, data)
        return
    try:
        with replacing(target) as file:
            if before is not None:
                _take_over(file.fileno(), target, before)
            file.write(data)
    except OSError as error:
        if before is None or error.errno not in CANNOT_RENAME:
            raise
        _write_in_place(target, data)


def _take_over(descriptor: int, target: Path, before: os.stat_result) -> None:
    """Give a file the owner, mode and extended attributes (access lists) of another."""
    now = os.fstat(descriptor)
    if (now.st_uid, now.st_gid) != (before.st_uid, before.st_gid):
        os.fchown(descriptor, before.st_uid, before.st_gid)
    os.fchmod(descriptor, stat.S_IMODE(before.st_mode))
    if hasattr(os, "listxattr"):
        with suppress(OSError):
            for name in os.listxattr(target):
                with suppress(OSError):
                    os.setxattr(descriptor, name, os.getxattr(target, name))


def _write_in_place(target: Path, data: memoryview) -> None:
    with target.open("r+b") as file:
        size = os.fstat(file.fileno()).st_size
        try:
            if hasattr(os, "posix_fallocate") and len(data) > size:
                os.posix_fallocate(file.fileno(), size, len(data) - size)
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.ENOTSUP, errno.ENOSYS, errno.ENODEV):
                file.truncate(size)
                raise
        file.write(data)
        file.truncate(len(data))
        file.flush()
        with suppress(OSError):  # not every file system offers it
            os.fsync(file.fileno())


def _write_stream(path: Path, data: memoryview) -> None:
    number = _descriptor(path)
    if number == 1:  # what was printed before comes first
        sys.stdout.flush()
    opened = os.dup(number) if number is not None else _opened(path)
    with os.fdopen(opened, "wb") as file:
        file.write(data)


def _opened(path: Path) -> int:
    """Open a device or a pipe; wait a limited time for the reader of a pipe."""
    noticed, started = False, time.monotonic()
    while True:
        try:
            opened = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY)
        except OSError as error:
            waited = time.monotonic() - started
            if error.errno != errno.ENXIO or not path.is_fifo():
                raise
            if waited > READER_SECONDS:
                raise OSError(
                    errno.ENXIO, f"no process has opened the pipe for reading in {waited:.0f} s"
                ) from None
            if waited > NOTICE_SECONDS and not noticed:
                print(f"{path}: waiting for a reader of this pipe", file=sys.stderr, flush=True)
                noticed = True
            time.sleep(0.1)
        else:
            os.set_blocking(opened, True)
            return opened


def _descriptor(path: Path) -> int | None:
    """Return the number of the open descriptor that a path such as /dev/fd/3 names.

    A descriptor must be used as it is: opening its path again would start a file that the shell
    appends to at its beginning, and fails for a socket.
    """
    own = rf"/dev/fd|/proc/(?:self|thread-self|{os.getpid()})(?:/task/\d+)?/fd"
    for _ in range(LINKS):
        folder = os.path.realpath(path.parent)
        if re.fullmatch(own, folder) and path.name.isdigit():
            return int(path.name)
        path = Path(folder, path.name)
        try:
            path = Path(folder, path.readlink())
        except OSError:  # no link
            return None
    return None


def _resolved(path: Path) -> Path:
    """Return the file that a chain of links names, which may not exist yet."""
    try:
        return path.resolve()
    except RuntimeError:  # before Python 3.13; later ones return the link
        raise OSError(errno.ELOOP, "the links form a circle") from None


def _check_kind(location: Location, mode: int) -> None:
    if stat.S_ISSOCK(mode):
        raise UserError(
            f"{location}: is a socket, which cannot be written to as a file; name a file or a pipe",
            code="out-is-socket",
            path=str(location),
        )
    if stat.S_ISBLK(mode):
        raise UserError(
            f"{location}: is a block device; writing to it would destroy its file system; "
            "name a file",
            code="out-is-block-device",
            path=str(location),
        )


def _is_folder(location: Location, example: str) -> UserError:
    return UserError(
        f"--out {location}: is a folder; name a file in it, such as {location}/{example}",
        code="out-is-folder",
        path=str(location),
        out=str(location),
    )


@contextmanager
def _reported(location: Location) -> Iterator[None]:
    """Convert errors of the operating system to those of the user."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{location}: cannot be written: {describe(error)}; name another --out, or correct "
            "the cause and repeat the command, which keeps what it has computed",
            code="out-not-writable",
            path=str(location),
            reason=errno.errorcode.get(error.errno or 0, ""),
        ) from error
