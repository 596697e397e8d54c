"""The feature store: one Zarr v3 group, written block by block and readable with any Zarr library.

    mel         (clip, frequency, time, resolution) float16: decibels relative to 1.0
    clip_id     (clip,) str
    split       (clip,) uint8: 0 train, 1 test
    valid       (clip,) bool: whether the row contains the features of a clip
    blocks/
        key        (block, 16) uint8: the done marker; hash of configuration and clips
        digest     (block, 16) uint8: XXH3-128 of the block's values
        histogram  (block, split, resolution, 65536) uint32: counts of the float16 codes

Coordinates for readers that use xarray (see `overlap.features.store.coordinates`):

    frequency          (frequency,) float64: centres of the mel bands, Hz
    time               (time,) float64: centres of the frames, s
    n_fft, win_length  (resolution,) int64: samples
    word               (word,) str: the words of the data set

Row i is row i of the catalogue. A block consists of whole chunks of `mel` and of one chunk of each
array in `blocks`, so that two workers never write the same chunk. Only the driver calls `create`
and `sync`, which change metadata; workers write rows and done markers.
"""

from typing import Any, Self

import numpy as np
import xxhash
from numpy.typing import NDArray

from overlap.catalog.rows import ClipRows
from overlap.config import FeatureConfig, StoreConfig
from overlap.errors import NotReadyError, UserError
from overlap.features.statistics import Normalisation, normalisation
from overlap.features.store.blocks import Block, split_blocks
from overlap.features.store.coordinates import coordinates_intact, write_coordinates
from overlap.features.store.corruption import (
    RECREATE_HINT,
    contains,
    corruption_errors,
    read_rows_or_zeros,
    reports_storage_errors,
)
from overlap.features.store.layout import (
    COLUMNS,
    KEY_BYTES,
    MISSING_COUNT,
    column_chunks,
)
from overlap.features.store.metadata import (
    FORMAT,
    create_group,
    format_version,
    read_attributes,
    zarr_store,
)
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.io.zarr_import import zarr

KEYS_PER_READ = 1024
"""Done markers per read: each is a chunk, and a chunk in flight takes several kB."""


class FeatureStore:
    """The feature store of a workspace.

    Attributes:
        location: Address of the store.
        config: Configuration of its features.
        block_clips: Rows per block.
    """

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        self._group, self._arrays = group, dict[str, zarr.Array[Any]]()
        self.config, self.block_clips = read_attributes(location, group)

    @classmethod
    def open(cls, workspace: Location, *, read_only: bool = True) -> Self:
        """Open the store of a workspace.

        Raises:
            NotReadyError: The workspace has no feature store yet.
            UserError: The store has an unsupported format version.
        """
        location = WorkspacePaths(workspace).features
        version = format_version(location)
        if version is None:
            raise NotReadyError(
                f"{workspace}: contains no features yet; run `overlap features` to compute them",
                code="no-features",
                workspace=str(workspace),
            )
        store = zarr_store(location, read_only=read_only)
        with corruption_errors(f"{location}/zarr.json", RECREATE_HINT):
            group = zarr.open_group(store, mode="r" if read_only else "r+", zarr_format=3)
        if version != FORMAT:
            raise UserError(
                f"{location}: has store format {version}, but this version of overlap supports "
                f"{FORMAT}; use another workspace",
                code="unsupported-store-format",
                store=str(location),
                format=version,
                supported=FORMAT,
            )
        return cls(location, group)

    @classmethod
    def find(
        cls, workspace: Location, config: FeatureConfig, *, read_only: bool = True
    ) -> Self | None:
        """Open the store of a workspace, or return None if it has none.

        Raises:
            UserError: The store contains features of another configuration.
        """
        if format_version(WorkspacePaths(workspace).features) is None:
            return None
        existing = cls.open(workspace, read_only=read_only)
        if existing.config != config:
            raise UserError(
                f"{existing.location}: contains features of another configuration "
                f"({existing.config.difference(config)}); use another --workspace, "
                "or remove that folder to recompute the features",
                code="other-features",
                store=str(existing.location),
            )
        return existing

    @classmethod
    def create(cls, workspace: Location, config: FeatureConfig, store: StoreConfig) -> Self:
        """Create an empty store, or open the existing one.

        An existing store keeps its chunks and blocks, whatever `store` says.

        Raises:
            UserError: The existing store contains features of another configuration.
        """
        existing = cls.find(workspace, config, read_only=False)
        if existing is not None:
            return existing
        location = WorkspacePaths(workspace).features
        return cls(location, create_group(location, config, store))

    @reports_storage_errors
    def sync(self, rows: ClipRows) -> None:
        """Resize the arrays to the catalogue and update the columns; unchanged data is kept."""
        for name in ("mel", *COLUMNS):
            self._resize(name, len(rows))
        columns = {name: self._array(name) for name in COLUMNS}
        for name, selection, values in column_chunks(rows):
            if not contains(columns[name], selection, values):
                columns[name][selection] = values
        blocks = self.blocks(rows)
        for name in ("key", "digest", "histogram"):
            self._resize(f"blocks/{name}", len(blocks))
        keys = "".join(block.key for block in blocks)
        catalogue = xxhash.xxh3_128_hexdigest(keys.encode())
        if self._group.attrs.get("catalogue") != catalogue:
            self._group.attrs["catalogue"] = catalogue
        write_coordinates(self._group, self._array("mel"), self.config, rows.words)

    def blocks(self, rows: ClipRows) -> list[Block]:
        """Return all blocks of the rows."""
        return list(split_blocks(rows, self.block_clips, self.config))

    def block_count(self, rows: ClipRows) -> int:
        """Return the number of blocks of the rows."""
        return -(-len(rows) // self.block_clips)

    def missing(self, rows: ClipRows) -> list[Block]:
        """Return the blocks that are not done."""
        done = self._keys()
        return [
            block
            for block in split_blocks(rows, self.block_clips, self.config)
            if block.index >= len(done) or done[block.index].tobytes().hex() != block.key
        ]

    def chunk_clips(self) -> int:
        """Return the number of rows per chunk of `mel`."""
        return int(self._array("mel").chunks[0])

    @reports_storage_errors
    def write_rows(self, start: int, values: NDArray[np.float16]) -> None:
        """Write the rows of one or more whole chunks.

        Raises:
            ValueError: `start` is not the first row of a chunk.
        """
        if start % self.chunk_clips():
            raise ValueError(
                f"row {start} is not the first row of a chunk of {self.chunk_clips()}: two workers "
                "could write the same chunk concurrently; write whole chunks"
            )
        self._array("mel")[start : start + len(values)] = values

    def invalidate_if_stale(self, block: Block) -> None:
        """Clear the done marker if it belongs to other clips, before rows are overwritten."""
        (key,) = read_rows_or_zeros(self._array("blocks/key"), block.index, block.index + 1)
        if key.any() and key.tobytes().hex() != block.key:
            self.mark_missing(block.index)

    @reports_storage_errors
    def mark_missing(self, index: int) -> None:
        """Clear the done marker of a block, so that it is recomputed."""
        self._array("blocks/key")[index] = 0

    @reports_storage_errors
    def mark_done(self, block: Block, histogram: NDArray[np.uint32], digest: bytes) -> None:
        """Write a block's statistics, then its done marker."""
        self._array("blocks/histogram")[block.index] = histogram
        self._array("blocks/digest")[block.index] = np.frombuffer(digest, np.uint8)
        self._array("blocks/key")[block.index] = np.frombuffer(bytes.fromhex(block.key), np.uint8)

    def read_rows(self, start: int, stop: int) -> NDArray[np.float16]:
        """Read the stored decibels of a range of rows.

        Returns:
            (rows, mel, frame, resolution) float16, decibels relative to 1.0.

        Raises:
            CorruptError: A chunk is damaged or missing.
        """
        with corruption_errors(f"{self.location}: rows {start} to {stop - 1}"):
            values = np.asarray(self._array("mel")[start:stop])
            chunk = self.chunk_clips()
            heads = np.arange(start - start % chunk, stop, chunk).clip(start) - start
            if np.isnan(values[heads, 0, 0, 0]).any():
                raise ValueError("a chunk is missing")
        return values

    def matches_catalog(self, rows: ClipRows) -> bool:
        """Return whether the columns and the coordinates match the catalogue."""
        columns = {name: self._array(name) for name in COLUMNS}
        if any(array.shape != (len(rows),) for array in columns.values()):
            return False
        if not all(
            contains(columns[name], selection, values)
            for name, selection, values in column_chunks(rows)
        ):
            return False
        return coordinates_intact(self._group, self._array("mel"), self.config, rows.words)

    def stored_histogram(self, block: Block) -> NDArray[np.int64]:
        """Read the counts that were written with a block, (split, resolution, 65536) int64.

        Raises:
            CorruptError: The counts are damaged or missing.
        """
        return self._histogram(block.index)

    def stored_digest(self, block: Block) -> bytes:
        """Read the digest that was written with a block."""
        (digest,) = read_rows_or_zeros(self._array("blocks/digest"), block.index, block.index + 1)
        return bytes(digest)

    def histogram(self) -> NDArray[np.int64]:
        """Sum the counts of all blocks, (split, resolution, 65536) int64; all must be done.

        Raises:
            CorruptError: The counts of a block are damaged or missing.
        """
        array = self._array("blocks/histogram")
        total = np.zeros(array.shape[1:], np.int64)
        for index in range(array.shape[0]):
            total += self._histogram(index)
        return total

    def _histogram(self, index: int) -> NDArray[np.int64]:
        with corruption_errors(f"{self.location}: counts of block {index}"):
            counts = np.asarray(self._array("blocks/histogram")[index])
            if counts[0, 0, 0] == MISSING_COUNT:
                raise ValueError("the counts are missing")
        return counts.astype(np.int64)

    def normalisation(self, mode: str, top_db: float) -> Normalisation:
        """Compute floor, mean and standard deviation of the stored clips.

        Args:
            mode: `train` for the training clips; `joint` for training and test clips together.
            top_db: Values are clipped this far below their peak.

        Raises:
            CorruptError: The counts of a block are damaged or missing.
            ValueError: The clips contain no signal.
        """
        counts = self.histogram()
        return normalisation(counts[0] if mode == "train" else counts.sum(axis=0), top_db)

    def _keys(self) -> NDArray[np.uint8]:
        """Read all done markers, (block, 16) uint8; a damaged one reads as not done."""
        array = self._array("blocks/key")
        starts = range(0, array.shape[0], KEYS_PER_READ)
        parts = [read_rows_or_zeros(array, start, start + KEYS_PER_READ) for start in starts]
        return np.concatenate(parts) if parts else np.empty((0, KEY_BYTES), np.uint8)

    def _array(self, name: str) -> zarr.Array[Any]:
        """Return an array of the group; cached, because opening reads and parses its metadata.

        Chunks of zeros are written like any other: comparing each chunk with the fill value would
        cost two thirds of the write speed.
        """
        if name not in self._arrays:
            with corruption_errors(f"{self.location}/{name}", RECREATE_HINT):
                array = self._group[name]
                if not isinstance(array, zarr.Array):
                    raise TypeError("not an array")
                self._arrays[name] = array.with_config({"write_empty_chunks": True})
        return self._arrays[name]

    def _resize(self, name: str, length: int) -> None:
        array = self._array(name)
        if array.shape[0] != length:
            array.resize((length, *array.shape[1:]))
            del self._arrays[name]
