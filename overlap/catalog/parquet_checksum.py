"""Parquet in which a flipped bit is found: pages with checksums, and a seal of the footer.

Pages of Parquet have checksums, where the writer is asked for them. The footer has none, and it
says where pages begin, how many rows they have and what the columns are called. Its XXH3-128
stands before it, where no reader of Parquet looks: offsets in a footer count from the beginning.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_128_digest

MARK = b"overlap-footer:"
"""Stands before the digest."""
DIGEST_BYTES = 16
_END = 8
"""Length of the footer, and `PAR1`."""


class _Divertible(io.RawIOBase):
    """What a writer writes to: a file, and from some moment on a buffer."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self.target = file
        self._at = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self._at += len(part := bytes(data))  # type: ignore[call-overload]
        self.target.write(part)
        return len(part)

    def tell(self) -> int:
        return self._at


@contextmanager
def sealed_parquet(file: IO[bytes], schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """A writer of a Parquet file; closed by this."""
    sink = _Divertible(file)
    writer = pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)
    try:
        yield writer
        sink.target = footer = io.BytesIO()
    finally:
        writer.close()
    file.write(MARK + xxh3_128_digest(footer.getvalue()) + footer.getvalue())


def check_footer(file: IO[bytes]) -> None:
    """Compare the footer of an open file with its seal; one without a seal is taken as it is.

    Raises:
        ValueError: it is not what was written.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _END))
    length = int.from_bytes(file.read(4), "little")
    start = size - _END - length - len(MARK) - DIGEST_BYTES
    if start >= 0:
        file.seek(start)
        mark, digest = file.read(len(MARK)), file.read(DIGEST_BYTES)
        if mark == MARK and xxh3_128_digest(file.read()) != digest:
            raise ValueError("its footer does not fit its seal")
    file.seek(0)
