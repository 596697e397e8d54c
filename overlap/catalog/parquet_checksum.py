"""Parquet files whose every bit is covered by a checksum.

Parquet has a CRC for each page, if the writer is asked for it, but none for the footer. The footer
holds the schema, the number of rows and the offset of every page: a flipped bit there can rename a
column or return wrong rows without an error.

This module stores the XXH3-128 of the footer in the file itself. The layout is:

    PAR1 | pages ... | "overlap-footer:" | digest (16 bytes) | footer | length (4 bytes) | PAR1
                                                             '------- covered by the digest ------'

The additional bytes are invisible to other readers of Parquet: they locate the footer from the end
of the file, and pages by absolute offsets in the footer, so nothing reads the gap between the last
page and the footer. Pages keep their offsets because the bytes are inserted behind them.

The digest is not a file of its own, since two files cannot be replaced atomically, and not an
entry of the footer's metadata, since it would have to cover itself. Files without a digest
(written by earlier versions) are accepted without the check.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow as pa
import pyarrow.parquet as pq
from xxhash import xxh3_128_digest

MARK = b"overlap-footer:"
"""Precedes the digest."""
DIGEST_BYTES = 16
_TAIL_BYTES = 8
"""Size of the end of a Parquet file: the length of the footer, and `PAR1`."""


class _RedirectableSink(io.RawIOBase):
    """Output of a Parquet writer that can be redirected from the file to a buffer.

    `tell` counts all bytes, wherever they go: the writer derives the offsets of pages from it.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self.target = file
        self._position = 0

    def writable(self) -> bool:
        return True

    def write(self, data: object) -> int:
        self._position += len(part := bytes(data))  # type: ignore[call-overload]
        self.target.write(part)
        return len(part)

    def tell(self) -> int:
        return self._position


@contextmanager
def checksummed_writer(file: IO[bytes], schema: pa.Schema) -> Iterator[pq.ParquetWriter]:
    """Yield a writer of a Parquet file with checksums of its pages and its footer.

    The context closes the writer. Closing it writes the footer, which goes to a buffer first so
    that its digest can precede it in the file.
    """
    sink = _RedirectableSink(file)
    writer = pq.ParquetWriter(sink, schema, compression="zstd", write_page_checksum=True)
    try:
        yield writer
        sink.target = footer = io.BytesIO()
    finally:
        writer.close()
    file.write(MARK + xxh3_128_digest(footer.getvalue()) + footer.getvalue())


def verify_footer(file: IO[bytes]) -> None:
    """Compare the footer of an open file with its digest, if it has one.

    Raises:
        ValueError: the footer differs from what was written.
    """
    size = file.seek(0, io.SEEK_END)
    file.seek(max(0, size - _TAIL_BYTES))
    length = int.from_bytes(file.read(4), "little")
    start = size - _TAIL_BYTES - length - len(MARK) - DIGEST_BYTES
    if start >= 0:
        file.seek(start)
        mark, digest = file.read(len(MARK)), file.read(DIGEST_BYTES)
        if mark == MARK and xxh3_128_digest(file.read()) != digest:
            raise ValueError("the footer does not match its checksum")
    file.seek(0)
