"""Access to the clips of a catalogue by ranges of rows, for any number of clips.

A catalogue in memory and a catalogue in a workspace's file both implement `ClipRows`. The file is
read by row groups, of which two are cached, and only with the columns that features depend on.
"""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from itertools import chain, islice, pairwise
from typing import IO, TYPE_CHECKING, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash
from numpy.typing import NDArray

from overlap.catalog.parquet_checksum import checksummed_writer, verify_footer
from overlap.columns.temporary_files import BLOCK, zeros
from overlap.config import AudioFormat
from overlap.errors import CorruptError, NotReadyError
from overlap.io.location import Location
from overlap.io.records import check_format
from overlap.io.workspace_paths import WorkspacePaths

if TYPE_CHECKING:  # half a second; `overlap status` needs arrays only
    import pandas as pd

Split = Literal["train", "test"]
Columns = Mapping[str, NDArray[np.object_]]
"""Columns of rows by name, as arrays of texts."""

FORMAT = 1
"""Format version of the catalogue; a file without one has version 1."""
LABEL = "label/"
"""Prefix of the name of a label column; the word follows."""
GROUP_ROWS = 65_536
"""Rows per row group of the file."""

OK, QUARANTINED, REMOVED = "ok", "quarantined", "removed"
"""States of a row: usable; its clip is unusable; its clip was removed from the data."""

DIGEST = "xxh3-128"
"""Algorithm of the digests of the clips' samples. A catalogue records it, so that other digests are
replaced."""
CONTENT = ("clip_id", "split", "digest", "state")
"""Columns that define the content of a row."""
FEATURE_COLUMNS = (*CONTENT, "file")
"""Columns that features are computed from."""
_CACHED_GROUPS = 2
"""Row groups in memory: a range of rows may span two."""


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
        """Return the number of rows."""

    @abstractmethod
    def part(self, start: int, stop: int) -> "pd.DataFrame":
        """Return `FEATURE_COLUMNS` of rows `start` to `stop` (exclusive) with any index."""

    def parts(self, size: int) -> "Iterator[pd.DataFrame]":
        """Yield all rows in order, in ranges of `size`; the last may be shorter."""
        for start in range(0, len(self), size):
            yield self.part(start, min(start + size, len(self)))

    def content(self, start: int, stop: int) -> Columns:
        """Return the columns `CONTENT` of rows `start` to `stop` (exclusive)."""
        part = self.part(start, stop)
        return {name: part[name].to_numpy(object) for name in CONTENT}

    def contents(self, size: int) -> Iterator[Columns]:
        """Yield the columns `CONTENT` of all rows, in ranges of `size`; the last may be shorter."""
        for start in range(0, len(self), size):
            yield self.content(start, min(start + size, len(self)))

    def counts(self) -> dict[str, int]:
        """Return the number of clips by split and state."""
        counts = Counter(dict.fromkeys(("train", "test", QUARANTINED, REMOVED), 0))
        for part in self.contents(GROUP_ROWS):
            counts.update(np.where(part["state"] == OK, part["split"], part["state"]).tolist())
        return dict(counts)


class StoredRows(ClipRows):
    """The clips of a catalogue's file.

    Attributes:
        digest: Name of the algorithm of the clips' digests.
    """

    def __init__(self, location: Location, file: IO[bytes]) -> None:
        self._location = location
        with _corruption_errors(location):
            verify_footer(file)
            self._file = pq.ParquetFile(file, page_checksum_verification=True)
        metadata = self._file.schema_arrow.metadata or {}
        fields = {k.decode(): v.decode() for k, v in metadata.items()}
        with _corruption_errors(location):
            found = int(fields.get("format", 1))
        check_format(found, FORMAT, str(location), fields.get("written_by"))
        if not fields.keys() >= {"data", "rate_hz", "samples"}:
            raise _corrupt(location, "overlap did not write it", code="foreign-catalog")
        self.data = fields["data"]
        self.digest = fields.get("digest", "")
        self.wanted = AudioFormat(int(fields["rate_hz"]), int(fields["samples"]))
        names = self._file.schema_arrow.names
        self.words = tuple(n.removeprefix(LABEL) for n in names if n.startswith(LABEL))
        footer = self._file.metadata
        sizes = [footer.row_group(index).num_rows for index in range(footer.num_row_groups)]
        self._starts = np.cumsum([0, *sizes])
        self._cached: dict[int, pa.Table] = {}

    def __len__(self) -> int:
        return int(self._starts[-1])

    def part(self, start: int, stop: int) -> "pd.DataFrame":
        """Return `FEATURE_COLUMNS` of rows `start` to `stop` (exclusive) with any index."""
        frame: pd.DataFrame = self._rows(start, stop).to_pandas()
        return frame

    def content(self, start: int, stop: int) -> Columns:
        """Return the columns `CONTENT` of rows `start` to `stop` (exclusive)."""
        part = self._rows(start, stop)
        # to_numpy would import pandas; with recent versions of Arrow to_pylist takes as long.
        return {name: np.array(part[name].to_pylist(), object) for name in CONTENT}

    def _rows(self, start: int, stop: int) -> pa.Table:
        first, last = np.searchsorted(self._starts, [start, stop - 1], side="right") - 1
        pieces = []
        for index in range(first, last + 1):
            before = int(self._starts[index])
            from_row = max(start - before, 0)
            pieces.append(self._group(index).slice(from_row, stop - before - from_row))
        return pa.concat_tables(pieces)

    def read_all(self) -> "tuple[pd.DataFrame, NDArray[np.float64]]":
        """Return all rows without their labels, and the labels: (rows, words) float64.

        Row groups are read one by one, so that the labels are never in memory twice.
        """
        from overlap.columns.frames import FrameBuilder

        names = [LABEL + word for word in self.words]
        labels = zeros((len(self), len(names)))
        empty: pd.DataFrame = self._file.schema_arrow.empty_table().drop_columns(names).to_pandas()
        types = {str(name): column.dtype.name for name, column in empty.items()}
        # Arrow has no type for a column without values, which are texts.
        clips = FrameBuilder({n: "str" if kind == "object" else kind for n, kind in types.items()})
        for index, (start, stop) in enumerate(pairwise(self._starts.tolist())):
            with _corruption_errors(self._location):
                group = self._file.read_row_group(index)
            for column, name in enumerate(names):
                labels[start:stop, column] = group[name].to_numpy()
            clips.add(group.drop_columns(names).to_pandas())
        return clips.finish(), labels

    def _group(self, index: int) -> pa.Table:
        if index not in self._cached:
            while len(self._cached) >= _CACHED_GROUPS:
                del self._cached[next(iter(self._cached))]
            with _corruption_errors(self._location):
                self._cached[index] = self._file.read_row_group(index, columns=[*FEATURE_COLUMNS])
        return self._cached[index]


@contextmanager
def stored_rows(workspace: Location) -> Iterator[StoredRows]:
    """Open the catalogue of a workspace; rows are read on access.

    Raises:
        NotReadyError: it has no catalogue (`no-catalog`).
        CorruptError: the catalogue is damaged (`corrupt-catalog`), or overlap did not write it
            (`foreign-catalog`).
    """
    location = WorkspacePaths(workspace).catalog
    if not location.exists():
        raise NotReadyError(
            f"{workspace}: contains no catalogue; if it is the intended workspace, create one with "
            "`overlap features --data DATA --workspace W`",
            code="no-catalog",
            workspace=str(workspace),
        )
    with location.reading() as file:
        yield StoredRows(location, file)


def write_rows(
    location: Location, frames: "Iterable[pd.DataFrame]", metadata: dict[str, str]
) -> None:
    """Write a Parquet file from frames, of which only one is in memory at a time.

    Args:
        location: The file.
        frames: At least one frame, all with the columns and types of the first; each becomes one
            row group, or several of `GROUP_ROWS` rows.
        metadata: Added to the metadata of the file.
    """
    remaining = iter(frames)
    first = next(remaining)
    schema = pa.Table.from_pandas(first, preserve_index=False).schema
    schema = schema.with_metadata({**(schema.metadata or {}), **metadata})
    with location.writing() as file, checksummed_writer(file, schema) as writer:
        for frame in chain([first], remaining):
            table = pa.Table.from_pandas(frame, schema=schema, preserve_index=False)
            writer.write_table(table, row_group_size=GROUP_ROWS)


def content_hash(columns: Mapping[str, Iterable[str]]) -> xxhash.xxh3_128:
    """Return the XXH3-128 of columns of rows; the order of columns and rows matters."""
    hashed = xxhash.xxh3_128()
    for texts in columns.values():
        remaining, separator = iter(texts), ""
        while block := [*islice(remaining, BLOCK)]:
            hashed.update((separator + "\0".join(block)).encode())
            separator = "\0"
        hashed.update(b"\1")
    return hashed


@contextmanager
def _corruption_errors(location: Location) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # from the file system; errors of Arrow itself have no errno
        raise _corrupt(location, str(error)) from None


def _corrupt(location: Location, fault: str, code: str = "corrupt-catalog") -> CorruptError:
    return CorruptError(
        f"{location}: is damaged ({fault}); remove it: the next run recreates it and recomputes "
        "only the blocks whose clips have moved to other rows",
        code=code,
        path=str(location),
        fault=fault,
    )
