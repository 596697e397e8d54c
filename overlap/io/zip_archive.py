"""Zip archives as folders: opened once per process, and read as byte ranges of the archive.

Python's `zipfile` reads members through one file position with a lock. Byte ranges instead let an
object store return a block's clips concurrently, and threads on a local disk need not wait for each
other. Members are never written to disk, so a name with `..` has no effect, and none is unpacked
beyond the size that the archive's directory states.
"""

import bz2
import os
import struct
import threading
import zlib
from bisect import bisect_right
from collections.abc import Callable, Sequence
from typing import Any
from zipfile import ZIP_BZIP2, ZIP_DEFLATED, ZIP_STORED, BadZipFile, ZipInfo

import fsspec
from fsspec.implementations.local import LocalFileSystem
from fsspec.implementations.zip import ZipFileSystem

from overlap.errors import UserError
from overlap.io.bulk_read import Read, TooLargeError, as_read
from overlap.io.listing import Entry, tag_of

KEPT_OPEN = 4
"""Archives that a process keeps open, with their directories in memory."""
ENCRYPTED = 0x01 | 0x40
PATCHED = 0x20
"""Flag bits of members that cannot be read."""
HEADER = struct.Struct("<4s22xHH")
"""A member's local header: signature, and the lengths of the name and extra field after it."""
LONGEST_HEADER = 30 + 2 * 0xFFFF
UNPACK: dict[int, Callable[[bytes, int], bytes]] = {
    # (compressed bytes, limit) to at most `limit` bytes.
    ZIP_STORED: lambda data, most: data[:most],
    ZIP_DEFLATED: lambda data, most: zlib.decompressobj(-15).decompress(data, most),
    ZIP_BZIP2: lambda data, most: bz2.BZ2Decompressor().decompress(data, most),
}
"""Supported compression methods."""


class Archive:
    """An open zip archive.

    Attributes:
        filesystem: fsspec's view of its folders and files.
    """

    def __init__(self, container: Any, path: str) -> None:  # noqa: ANN401  fsspec
        self._container = container
        self._path = path
        file = container.open(path, "rb")
        try:
            self.filesystem = ZipFileSystem(file)
        except BaseException:
            file.close()
            raise
        members = self.filesystem.zip.infolist()
        self._members = {member.filename: member for member in members if not member.is_dir()}
        starts = [member.header_offset for member in members]
        self._starts = sorted([*starts, self.filesystem.zip.start_dir])

    def read_many(self, names: Sequence[str], most: int | None = None) -> list[Read]:
        """Read members by their paths in the archive, in the order of `names`.

        A member that cannot be read, or differs from the archive's directory, yields an error in
        its place.
        """
        found: list[Read] = [FileNotFoundError(2, "no such file in the archive")] * len(names)
        ranged = []
        for index, name in enumerate(names):
            member = self._members.get(name)
            if member is None:
                continue
            if most is not None and member.file_size > most:
                found[index] = TooLargeError(member.file_size)
                continue
            refusal = _refusal(member)
            if refusal is None:
                ranged.append((index, member))
            else:
                found[index] = OSError(f"{member.filename}: {refusal}")
        ranges = [self._range(member) for _, member in ranged]
        for (index, member), data in zip(ranged, self._read_ranges(ranges), strict=True):
            found[index] = data if isinstance(data, OSError) else _unpacked(member, data)
        return found

    def _range(self, member: ZipInfo) -> tuple[int, int]:
        """Return the range from a member's header to the next; its own length is unknown yet."""
        start = member.header_offset
        following = bisect_right(self._starts, start)
        # In a damaged directory a member may start after the last one: its range is empty.
        end = self._starts[following] if following < len(self._starts) else start
        return start, min(end, start + LONGEST_HEADER + member.compress_size)

    def _read_ranges(self, ranges: Sequence[tuple[int, int]]) -> list[Read]:
        if not isinstance(self._container, LocalFileSystem):
            starts, ends = [start for start, _ in ranges], [end for _, end in ranges]
            found = self._container.cat_ranges([self._path] * len(ranges), starts, ends)
            return [as_read(content) for content in found]
        file = os.open(self._path, os.O_RDONLY)
        try:
            return [os.pread(file, end - start, start) for start, end in ranges]
        finally:
            os.close(file)


def _refusal(member: ZipInfo) -> str | None:
    """Return why a member cannot be read, or None."""
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.flag_bits & PATCHED or member.compress_type not in UNPACK:
        return f"has the unsupported compression method {member.compress_type}; use deflate"
    # No method expands incompressible data by much.
    if member.compress_size > member.file_size + member.file_size // 8 + 1024:
        return "is damaged in the archive: its compressed size exceeds its size"
    return None


def _unpacked(member: ZipInfo, data: bytes) -> Read:
    """Return the content of a member, from its bytes in the archive including the header."""
    broken = OSError(f"{member.filename}: is damaged in the archive")
    if len(data) < 30 or data[:4] != b"PK\3\4":
        return broken
    _, name, extra = HEADER.unpack_from(data)
    content = data[30 + name + extra :][: member.compress_size]
    try:
        content = UNPACK[member.compress_type](content, member.file_size + 1)
    except (zlib.error, OSError, EOFError):
        return broken
    if len(content) != member.file_size or zlib.crc32(content) != member.CRC:
        return broken
    return content


_open: dict[tuple[int, str], tuple[str, Archive]] = {}
_lock = threading.Lock()
_opening: dict[tuple[int, str], threading.Lock] = {}
"""A lock per archive: opening one on an object store must not make the others wait."""


def open_archive(address: str) -> Archive:
    """Return the archive at an address in its current state.

    The file's version is checked at every call, so that even a worker that runs for weeks opens an
    archive again after it was replaced.

    Args:
        address: Path or URL of the zip file itself.

    Raises:
        FileNotFoundError: the file does not exist.
        UserError: the file is not a zip archive (`not-an-archive`).
    """
    if address.startswith("/"):
        container, path = LocalFileSystem(), address
        version = Entry.of_stat("", os.stat(path)).version  # noqa: PTH116  called at every read
    else:
        container, path = fsspec.core.url_to_fs(address)
        container.invalidate_cache()
        info = container.info(path)
        # Without a tag the size must do: contents are compared with the members' CRC.
        version = f"{info['size']}-{tag_of(info)}"
    key = (os.getpid(), address)  # a forked process must not share the file's position
    with _lock:
        one_at_a_time = _opening.setdefault(key, threading.Lock())
    with one_at_a_time:
        known, archive = _open.get(key, ("", None))
        if archive is None or known != version:
            archive = _opened(container, path, address)
            with _lock:
                _open.pop(key, None)
                _open[key] = (version, archive)
                while len(_open) > KEPT_OPEN:
                    del _open[next(iter(_open))]
    return archive


def _opened(container: Any, path: str, address: str) -> Archive:  # noqa: ANN401  fsspec
    try:
        return Archive(container, path)
    # NotImplementedError: the archive has a later version of the format.
    except (BadZipFile, NotImplementedError, IsADirectoryError, ValueError) as error:
        raise UserError(
            f"{address}: is not a zip archive, or is damaged ({error})",
            code="not-an-archive",
            path=address,
        ) from None
