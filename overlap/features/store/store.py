"""The feature store: one Zarr v3 group, written block by block and readable by anything.

    mel         (clip, frequency, time, resolution) float16: decibels relative to 1.0
    clip_id     (clip,) str
    split       (clip,) uint8: 0 train, 1 test
    valid       (clip,) bool: whether the row holds a clip's features
    blocks/
        key        (block, 16) uint8: the done marker; names configuration and clips
        digest     (block, 16) uint8: XXH3-128 of the block's values
        histogram  (block, split, resolution, 65536) uint32: counts of the float16 codes

and for those who read it with xarray (see `overlap.features.store.coordinates`)

    frequency          (frequency,) float64: centres of the mel bands, Hz
    time               (time,) float64: middles of the frames, s
    n_fft, win_length  (resolution,) int64: samples
    word               (word,) str: the words of the data set

Row i is row i of the catalogue. A block is a run of whole chunks of `mel` and, in the three
arrays of `blocks`, one chunk each, so that two workers never write one chunk. Only the driver
calls `create` and `sync`, which touch metadata; workers write rows and marks.
"""

from typing import Any, Self, cast

import numpy as np
import xxhash
import zarr
from numpy.typing import NDArray

from overlap.catalog.rows import ClipRows
from overlap.config import FeatureConfig, StoreConfig
from overlap.errors import NotReadyError, UserError
from overlap.features.statistics import Normalisation, normalisation
from overlap.features.store.blocks import Block, split_blocks
from overlap.features.store.coordinates import coordinates_stand, write_coordinates
from overlap.features.store.damage import (
    ANEW,
    corruption_errors,
    holds,
    of_storage,
    read_each,
    seal_of,
    stored_format,
)
from overlap.features.store.layout import (
    COLUMNS,
    KEY_BYTES,
    NEVER_WRITTEN,
    SPLITS,
    columns_of,
    create_arrays,
)
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors
from overlap.io.workspace_paths import WorkspacePaths
from overlap.system.provenance import git_revision, software

FORMAT = 2
KEYS_AT_ONCE = 1024
"""Done markers read at once: each is a chunk, and a chunk in flight takes some kB."""


class FeatureStore:
    """The feature store of a workspace.

    Attributes:
        location: Its address.
        config: The features that it holds.
        block_clips: Rows per block.
    """

    def __init__(self, location: Location, group: zarr.Group) -> None:
        self.location = location
        self._group, self._arrays = group, dict[str, zarr.Array[Any]]()
        with corruption_errors(f"{location}/zarr.json", ANEW):
            about = group.attrs.asdict()
            if about.get("seal", seal_of(about)) != seal_of(about):
                raise ValueError("its attributes do not fit their seal")
            self.config = FeatureConfig.from_stored(cast("dict[str, Any]", about["features"]))
            self.block_clips = int(str(about["block_clips"]))

    @classmethod
    def open(cls, workspace: Location, *, read_only: bool = True) -> Self:
        """Open the store of a workspace.

        Raises:
            NotReadyError: there is none yet.
            UserError: it was written by another format version.
        """
        location = WorkspacePaths(workspace).features
        found = stored_format(location, FORMAT)
        if found is None:
            raise NotReadyError(
                f"{workspace}: no features there yet; `overlap features` makes them"
            )
        store = location.zarr_store(read_only=read_only)
        with corruption_errors(f"{location}/zarr.json", ANEW):
            group = zarr.open_group(store, mode="r" if read_only else "r+", zarr_format=3)
        if found != FORMAT:
            raise UserError(
                f"{location}: store format {found}, but this version reads {FORMAT}; "
                "use another workspace"
            )
        return cls(location, group)

    @classmethod
    def find(
        cls, workspace: Location, config: FeatureConfig, *, read_only: bool = True
    ) -> Self | None:
        """Open the store of a workspace, if there is one.

        Raises:
            UserError: it holds other features.
        """
        if stored_format(WorkspacePaths(workspace).features, FORMAT) is None:
            return None
        existing = cls.open(workspace, read_only=read_only)
        if existing.config != config:
            raise UserError(
                f"{existing.location}: holds features of another configuration "
                f"({existing.config.difference(config)}); use another --workspace, "
                "or remove that folder to compute them anew"
            )
        return existing

    @classmethod
    def create(cls, workspace: Location, config: FeatureConfig, store: StoreConfig) -> Self:
        """Make an empty store, or open the one that is there.

        How an existing store is cut into chunks and blocks stays as it is.

        Raises:
            UserError: there is one with other features.
        """
        existing = cls.find(workspace, config, read_only=False)
        if existing is not None:
            return existing
        location = WorkspacePaths(workspace).features
        about: dict[str, Any] = {
            "features": config.model_dump(mode="json"),
            "block_clips": store.block_clips,
            "units": "dB relative to 1.0 (power)",
            "splits": list(SPLITS),
            "software": software(),
            "git_revision": git_revision(),
        }
        with storage_errors(location):
            group = zarr.open_group(
                location.zarr_store(),
                mode="w",
                zarr_format=3,
                attributes={**about, "seal": seal_of(about)},
            )
            create_arrays(group, config, store)
            group.attrs["format"] = FORMAT  # last: a store without it was never finished
        return cls(location, group)

    @of_storage
    def sync(self, rows: ClipRows) -> None:
        """Give every row a place; writes nothing when all have theirs."""
        for name in ("mel", *COLUMNS):
            self._resize(name, len(rows))
        columns = {name: self._array(name) for name in COLUMNS}
        for name, place, values in columns_of(rows):
            if not holds(columns[name], place, values):
                columns[name][place] = values
        blocks = self.blocks(rows)
        for name in ("key", "digest", "histogram"):
            self._resize(f"blocks/{name}", len(blocks))
        keys = "".join(block.key for block in blocks)
        catalogue = xxhash.xxh3_128_hexdigest(keys.encode())
        if self._group.attrs.get("catalogue") != catalogue:
            self._group.attrs["catalogue"] = catalogue
        write_coordinates(self._group, self._array("mel"), self.config, rows.words)

    def blocks(self, rows: ClipRows) -> list[Block]:
        """The blocks of some clips, done or not."""
        return list(split_blocks(rows, self.block_clips, self.config))

    def block_count(self, rows: ClipRows) -> int:
        """Number of blocks of some clips."""
        return -(-len(rows) // self.block_clips)

    def missing(self, rows: ClipRows) -> list[Block]:
        """The blocks that still have to be computed."""
        done = self._keys()
        return [
            block
            for block in split_blocks(rows, self.block_clips, self.config)
            if block.index >= len(done) or done[block.index].tobytes().hex() != block.key
        ]

    def chunk_clips(self) -> int:
        """Rows per chunk of `mel`."""
        return int(self._array("mel").chunks[0])

    @of_storage
    def write_rows(self, start: int, values: NDArray[np.float16]) -> None:
        """Write the rows of one or more whole chunks."""
        if start % self.chunk_clips():
            raise ValueError(
                f"row {start} is not the first of a chunk of {self.chunk_clips()}: two workers "
                "could write that chunk at once; write whole chunks"
            )
        self._array("mel")[start : start + len(values)] = values

    def invalidate_if_stale(self, block: Block) -> None:
        """Take back a done marker of other clips, before the first row is overwritten."""
        (key,) = read_each(self._array("blocks/key"), block.index, block.index + 1)
        if key.any() and key.tobytes().hex() != block.key:
            self.mark_missing(block.index)

    @of_storage
    def mark_missing(self, index: int) -> None:
        """Take back the done marker of a block, so that it is computed again."""
        self._array("blocks/key")[index] = 0

    @of_storage
    def mark_done(self, block: Block, histogram: NDArray[np.uint32], digest: bytes) -> None:
        """Write a block's statistics, then its done marker."""
        self._array("blocks/histogram")[block.index] = histogram
        self._array("blocks/digest")[block.index] = np.frombuffer(digest, np.uint8)
        self._array("blocks/key")[block.index] = np.frombuffer(bytes.fromhex(block.key), np.uint8)

    def read_rows(self, start: int, stop: int) -> NDArray[np.float16]:
        """(rows, mel, frame, resolution) float16: stored decibels of a run of rows.

        Raises:
            CorruptError: a chunk is damaged or gone.
        """
        with corruption_errors(f"{self.location}: rows {start} to {stop - 1}"):
            values = np.asarray(self._array("mel")[start:stop])
            chunk = self.chunk_clips()
            heads = np.arange(start - start % chunk, stop, chunk).clip(start) - start
            if np.isnan(values[heads, 0, 0, 0]).any():
                raise ValueError("a chunk is gone")
        return values

    def matches_catalog(self, rows: ClipRows) -> bool:
        """Whether ids, splits and states of the rows, and the words, are the catalogue's."""
        columns = {name: self._array(name) for name in COLUMNS}
        if any(array.shape != (len(rows),) for array in columns.values()):
            return False
        if not all(holds(columns[name], place, values) for name, place, values in columns_of(rows)):
            return False
        return coordinates_stand(self._group, self._array("mel"), self.config, rows.words)

    def stored_histogram(self, block: Block) -> NDArray[np.int64]:
        """(split, resolution, 65536) int64: the counts that were written with a block.

        Raises:
            CorruptError: they are damaged or gone.
        """
        return self._histogram(block.index)

    def stored_digest(self, block: Block) -> bytes:
        """The digest that was written with a block."""
        (digest,) = read_each(self._array("blocks/digest"), block.index, block.index + 1)
        return bytes(digest)

    def histogram(self) -> NDArray[np.int64]:
        """(split, resolution, 65536) int64: counts over all blocks, each of which must be done.

        Raises:
            CorruptError: those of a block are damaged or gone.
        """
        array = self._array("blocks/histogram")
        total = np.zeros(array.shape[1:], np.int64)
        for index in range(array.shape[0]):
            total += self._histogram(index)
        return total

    def _histogram(self, index: int) -> NDArray[np.int64]:
        with corruption_errors(f"{self.location}: counts of block {index}"):
            counts = np.asarray(self._array("blocks/histogram")[index])
            if counts[0, 0, 0] == NEVER_WRITTEN:
                raise ValueError("they are gone")
        return counts.astype(np.int64)

    def normalisation(self, mode: str, top_db: float) -> Normalisation:
        """Floor, mean and std of the stored clips.

        Args:
            mode: `train`: training clips only; `joint`: training and test clips together.
            top_db: Values are clipped this far below their peak.
        """
        counts = self.histogram()
        return normalisation(counts[0] if mode == "train" else counts.sum(axis=0), top_db)

    def _keys(self) -> NDArray[np.uint8]:
        """(block, 16) uint8: all done markers; one that is damaged marks nothing."""
        array = self._array("blocks/key")
        starts = range(0, array.shape[0], KEYS_AT_ONCE)
        parts = [read_each(array, start, start + KEYS_AT_ONCE) for start in starts]
        return np.concatenate(parts) if parts else np.empty((0, KEY_BYTES), np.uint8)

    def _array(self, name: str) -> zarr.Array[Any]:
        """An array of the group, opened once: that reads and parses its metadata.

        A chunk of zeros is written like any other: comparing each with the fill value costs two
        thirds of the write speed.
        """
        if name not in self._arrays:
            with corruption_errors(f"{self.location}/{name}", ANEW):
                array = self._group[name]
                if not isinstance(array, zarr.Array):
                    raise TypeError("it is not an array")
                self._arrays[name] = array.with_config({"write_empty_chunks": True})
        return self._arrays[name]

    def _resize(self, name: str, length: int) -> None:
        array = self._array(name)
        if array.shape[0] != length:
            array.resize((length, *array.shape[1:]))
            del self._arrays[name]
