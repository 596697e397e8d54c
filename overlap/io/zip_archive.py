"""Zip archives as folders: opened once per process, read by ranges of the archive's bytes.

Members are not read through Python's `zipfile`, which has one file position and a lock around
it, but as ranges of the archive: on an object store a block's clips come at once, and on a local
disk threads do not wait for each other. Members are never written anywhere, so a name with `..`
leads nowhere, and none is unpacked beyond the size that the archive's directory says.
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
"""Archives that a process keeps open; their directories are held in memory."""
ENCRYPTED = 0x01 | 0x40
PATCHED = 0x20
"""Flags of members that are not read."""
HEADER = struct.Struct("<4s22xHH")
"""A member's own header: signature, and the lengths of the name and extra field behind it."""
LONGEST_HEADER = 30 + 2 * 0xFFFF
UNPACK: dict[int, Callable[[bytes, int], bytes]] = {
    # From packed bytes to at most so many.
    ZIP_STORED: lambda data, most: data[:most],
    ZIP_DEFLATED: lambda data, most: zlib.decompressobj(-15).decompress(data, most),
    ZIP_BZIP2: lambda data, most: bz2.BZ2Decompressor().decompress(data, most),
}
"""Methods of packing that are read."""


class Archive:
    """An open zip archive.

    Attributes:
        filesystem: Its folders and files, as fsspec lists them.
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
        """Members by their paths in the archive, in the order of `names`.

        What cannot be read, or is not what the archive's directory says, is an error in its
        place.
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
        """From a member's header to the next one: the header's own length is not known yet."""
        start = member.header_offset
        following = bisect_right(self._starts, start)
        # A damaged directory may say that it begins behind the last one: then it is empty.
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
    """Why a member is not read; None if it is."""
    if member.flag_bits & ENCRYPTED:
        return "is encrypted"
    if member.flag_bits & PATCHED or member.compress_type not in UNPACK:
        return f"is packed by a method that is not read ({member.compress_type}); deflate is"
    # No method makes what cannot be packed much larger.
    if member.compress_size > member.file_size + member.file_size // 8 + 1024:
        return "is damaged in the archive: it is larger packed than unpacked"
    return None


def _unpacked(member: ZipInfo, data: bytes) -> Read:
    """The content of a member, from its bytes in the archive with the header."""
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


def open_archive(address: str) -> Archive:
    """The archive of this address as it is now.

    It is looked at every time: an archive that was replaced is opened anew, also in a worker
    that lives for weeks.

    Args:
        address: Path or URL of the zip file itself.

    Raises:
        FileNotFoundError: nothing is there.
        UserError: it is no zip archive.
    """
    if address.startswith("/"):
        container, path = LocalFileSystem(), address
        version = Entry.of_stat("", os.stat(path)).version  # noqa: PTH116  asked at every reading
    else:
        container, path = fsspec.core.url_to_fs(address)
        container.invalidate_cache()
        info = container.info(path)
        # Without a tag the size has to do: what is read is compared with the members' CRC.
        version = f"{info['size']}-{tag_of(info)}"
    key = (os.getpid(), address)  # a forked process must not share the file's position
    with _lock:
        known, archive = _open.get(key, ("", None))
        if archive is None or known != version:
            archive = _opened(container, path, address)
            _open.pop(key, None)
            _open[key] = (version, archive)
            while len(_open) > KEPT_OPEN:
                del _open[next(iter(_open))]
    return archive


def _opened(container: Any, path: str, address: str) -> Archive:  # noqa: ANN401  fsspec
    try:
        return Archive(container, path)
    # NotImplementedError: zipfile's word for an archive of a later version of the format.
    except (BadZipFile, NotImplementedError, IsADirectoryError, ValueError) as error:
        raise UserError(f"{address}: is no zip archive, or a damaged one ({error})") from None
