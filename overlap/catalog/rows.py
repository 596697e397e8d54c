"""Clips by row, a run of rows at a time: what the feature stage needs of any number of them.

A catalogue in memory and the file of a workspace both are `ClipRows`. The file is read by its
row groups, of which two are kept, and only the columns that features depend on.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from typing import IO

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from overlap.catalog.parquet_checksum import check_footer, sealed_parquet
from overlap.config import AudioFormat
from overlap.errors import CorruptError, NotReadyError
from overlap.io.location import Location
from overlap.io.records import check_format
from overlap.io.workspace_paths import WorkspacePaths

FORMAT = 1
"""Format version of the catalogue; a file without one has version 1."""
LABEL = "label/"
"""Begins the name of a column of labels; the word follows."""
GROUP_ROWS = 65_536
"""Rows per row group of the file."""

OK, QUARANTINED, REMOVED = "ok", "quarantined", "removed"
"""States of a row: usable; its clip cannot be used; its clip is no longer in the data."""

CONTENT = ("clip_id", "split", "digest", "state")
"""Columns that say what a row holds."""
COLUMNS = (*CONTENT, "file")
"""Columns that features are made from."""
_KEPT = 2
"""Row groups in memory: a run of rows may cross from one into the next."""


class ClipRows(ABC):
    """All clips of a workspace; row i describes row i of the feature store."""

    data: str
    """Address of the data folder."""
    wanted: AudioFormat
    """The clip format that the inspection was made for."""
    words: tuple[str, ...]
    """The words, in the order of every prediction."""

    @abstractmethod
    def __len__(self) -> int:
        """Number of rows."""

    @abstractmethod
    def part(self, start: int, stop: int) -> pd.DataFrame:
        """Rows from `start` up to `stop`, with `COLUMNS`; its index means nothing."""

    def parts(self, size: int) -> Iterator[pd.DataFrame]:
        """All rows in order, in runs of `size`; the last may be shorter."""
        for start in range(0, len(self), size):
            yield self.part(start, min(start + size, len(self)))

    def counts(self) -> dict[str, int]:
        """Clips by split and state, for reports."""
        counts = dict.fromkeys(("train", "test", QUARANTINED, REMOVED), 0)
        for part in self.parts(GROUP_ROWS):
            kind = part["split"].where(part["state"] == OK, part["state"])
            for name, count in kind.value_counts().items():
                counts[str(name)] += int(count)
        return counts


class StoredRows(ClipRows):
    """The clips of a catalogue's file.

    Attributes:
        digest: What the clips' digests are made by.
    """

    def __init__(self, location: Location, file: IO[bytes]) -> None:
        self._location = location
        with _damage_named(location):
            check_footer(file)
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
        metadata = self._file.schema_arrow.metadata or {}
        about = {k.decode(): v.decode() for k, v in metadata.items()}
        with _damage_named(location):
            found = int(about.get("format", 1))
        check_format(found, FORMAT, str(location), about.get("written_by"))
        if not about.keys() >= {"data", "rate_hz", "samples"}:
            raise _damaged(location, "it was not written by overlap")
        self.data = about["data"]
        self.digest = about.get("digest", "")
        self.wanted = AudioFormat(int(about["rate_hz"]), int(about["samples"]))
        names = self._file.schema_arrow.names
        self.words = tuple(n.removeprefix(LABEL) for n in names if n.startswith(LABEL))
        footer = self._file.metadata
        sizes = [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        self._kept: dict[int, pd.DataFrame] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def part(self, start: int, stop: int) -> pd.DataFrame:
        """Rows from `start` up to `stop`, with `COLUMNS`; its index means nothing."""
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        pieces = []
        for index in range(first, last + 1):
            before = int(self._starts[index])
            pieces.append(self._group(index).iloc[max(start - before, 0) : stop - before])
        return pieces[0] if len(pieces) == 1 else pd.concat(pieces, ignore_index=True)

    def everything(self) -> pd.DataFrame:
        """All rows with all columns, labels included."""
        with _damage_named(self._location):
            table = self._file.read()
        frame: pd.DataFrame = table.to_pandas()
        return frame

    def _group(self, index: int) -> pd.DataFrame:
        if index not in self._kept:
            while len(self._kept) >= _KEPT:
                del self._kept[next(iter(self._kept))]
            with _damage_named(self._location):
                table = self._file.read_row_group(index, columns=[*COLUMNS])
            self._kept[index] = table.to_pandas()
        return self._kept[index]


@contextmanager
def stored_rows(workspace: Location) -> Iterator[StoredRows]:
    """The clips of a workspace, read as they are asked for.

    Raises:
        NotReadyError: it has no catalogue.
        CorruptError: the catalogue cannot be read.
    """
    location = WorkspacePaths(workspace).catalog
    if not location.exists():
        raise NotReadyError(
            f"{workspace}: no catalogue there; is this a workspace? "
            "`overlap features --data DATA --workspace W` makes one"
        )
    with location.reading() as file:
        yield StoredRows(location, file)


def write_rows(location: Location, frames: Iterable[pd.DataFrame], about: dict[str, str]) -> None:
    """Write a Parquet file from frames that need not be in memory together.

    Args:
        location: The file.
        frames: At least one, all with the columns and types of the first; each becomes a row
            group, or several of `GROUP_ROWS` rows.
        about: Added to the metadata of the file.
    """
    waiting = iter(frames)
    first = next(waiting)
    schema = pa.Table.from_pandas(first, preserve_index=False).schema
    schema = schema.with_metadata({**(schema.metadata or {}), **about})
    with location.writing() as file, sealed_parquet(file, schema) as writer:
        for frame in chain([first], waiting):
            table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
            writer.write_table(table, row_group_size=GROUP_ROWS)


def content_hash(part: pd.DataFrame, *more: str) -> xxhash.xxh3_128:
    """XXH3-128 of what some rows hold.

    Args:
        part: The rows, in the order that matters.
        more: Columns that count besides `CONTENT`.
    """
    hashed = xxhash.xxh3_128()
    for column in (*CONTENT, *more):
        hashed.update("\0".join(part[column].to_numpy(object)).encode())
        hashed.update(b"\1")
    return hashed


@contextmanager
def _damage_named(location: Location) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's; Arrow's own have no number
        raise _damaged(location, str(error)) from None


def _damaged(location: Location, why: str) -> CorruptError:
    return CorruptError(
        f"{location}: is damaged ({why}); remove it: the next run makes it again, and computes "
        "again only the blocks whose clips stand in other rows then"
    )
