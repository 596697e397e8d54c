"""Memory-mapped temporary files, which hold the columns that are too large for the memory.

The kernel writes pages of such a file to the disk, and takes them out of memory where something
else needs the space. A file has no name once it is open, so that nothing of it is left when the
process ends, however it ends. The environment variable `TMPDIR` chooses the folder. In a folder in
memory (tmpfs) a file takes as much memory as an array.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import DTypeLike, NDArray

from overlap.errors import StorageError

LARGE_BYTES: Final = 8 << 20
"""Bytes from which an array or a buffer is in a file; a column of texts has two buffers."""
BLOCK: Final = 65_536
"""Values that are Python objects at one time."""


def zeros(shape: tuple[int, ...], dtype: DTypeLike = np.float64) -> NDArray[Any]:
    """Return an array of zeros, which is in a temporary file if it has `LARGE_BYTES` or more.

    Raises:
        StorageError: the file cannot be written (`temporary-files`).
    """
    kind = np.dtype(dtype)
    size = int(np.prod(shape, dtype=np.int64)) * kind.itemsize
    if size < LARGE_BYTES:
        return np.zeros(shape, kind)
    with _storage_errors(), tempfile.TemporaryFile() as file:
        # A write to a mapped page for which the disk has no space would kill the process.
        if hasattr(os, "posix_fallocate"):
            os.posix_fallocate(file.fileno(), 0, size)
        else:
            file.truncate(size)
        return np.frombuffer(mmap.mmap(file.fileno(), size), kind).reshape(shape)


class GrowingBuffer:
    """Bytes that are added piece by piece: in memory, or in a temporary file from `LARGE_BYTES`.

    Attributes:
        size: Number of bytes.
    """

    def __init__(self) -> None:
        self.size = 0
        self._memory = bytearray()
        self._file: IO[bytes] | None = None

    def add(self, piece: Any) -> None:  # noqa: ANN401  any object with a buffer
        """Append the bytes of a buffer.

        Raises:
            StorageError: the file cannot be written (`temporary-files`).
        """
        view = memoryview(piece).cast("B")
        self.size += len(view)
        if self._file is None and self.size < LARGE_BYTES:
            self._memory += view
            return
        with _storage_errors():
            if self._file is None:
                self._file = tempfile.TemporaryFile()  # noqa: SIM115  closed with this object
                weakref.finalize(self, self._file.close)
                self._file.write(self._memory)
                self._memory = bytearray()
            self._file.write(view)

    def finish(self) -> pa.Buffer:
        """Return all bytes; nothing can be added afterwards.

        Raises:
            StorageError: the file cannot be written (`temporary-files`).
        """
        if self._file is None:
            return pa.py_buffer(self._memory)
        with _storage_errors(), self._file as file:
            file.flush()
            return pa.py_buffer(mmap.mmap(file.fileno(), self.size, access=mmap.ACCESS_COPY))


class NumberBuilder:
    """Collects numbers; the array is in a temporary file if it is large."""

    def __init__(self, dtype: DTypeLike = np.float64) -> None:
        self._dtype, self._buffer = np.dtype(dtype), GrowingBuffer()
        self._waiting: list[Any] = []

    def extend(self, values: Iterable[Any]) -> None:
        """Add numbers: an array, or Python objects, which are converted in blocks."""
        if isinstance(values, np.ndarray):
            self._add_waiting()
            self._buffer.add(np.ascontiguousarray(values, self._dtype))
            return
        self._waiting.extend(values)
        if len(self._waiting) >= BLOCK:
            self._add_waiting()

    def _add_waiting(self) -> None:
        self._buffer.add(np.array(self._waiting, self._dtype))
        self._waiting.clear()

    def finish(self) -> NDArray[Any]:
        """Return all numbers as an array of one dimension; none can be added afterwards."""
        self._add_waiting()
        return np.frombuffer(self._buffer.finish(), self._dtype)


@contextmanager
def _storage_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        folder = tempfile.gettempdir()
        raise StorageError(
            f"{folder}: cannot hold the columns of a large catalogue ({error.strerror or error}); "
            "free space there, or choose another folder with the environment variable TMPDIR",
            code="temporary-files",
            folder=folder,
        ) from error
