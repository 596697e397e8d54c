"""Layout of a feature store: names, dtypes, chunks and codecs of its arrays; see `store`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog.rows import OK, ClipRows, Split
from overlap.config import FeatureConfig, StoreConfig
from overlap.features.statistics import CODES
from overlap.features.store.coordinates import AXES
from overlap.io.zarr_import import zarr

SPLITS: tuple[Split, ...] = ("train", "test")
KEY_BYTES = 16
COLUMNS: Mapping[str, Any] = {"clip_id": str, "split": "uint8", "valid": "bool"}
MISSING_COUNT = 2**32 - 1
"""Fill value of the histograms: a missing chunk reads as this count. Missing decibels are NaN."""
COLUMN_ROWS = 65_536
"""Rows per chunk of a column."""


def create_arrays(group: zarr.Group, config: FeatureConfig, store: StoreConfig) -> None:
    """Create the arrays of an empty store.

    Values and counts have a CRC-32C per chunk, because blosc does not detect flipped bits. Done
    markers and digests need no checksum: a damaged marker means that the block is recomputed, and
    a damaged digest matches no values.

    Counts are compressed with lz4; zstd makes them 40 % smaller but takes 1 ms more per block.
    """
    resolutions = len(config.resolutions)
    group.create_array(
        "mel",
        shape=(0, *config.shape),
        chunks=(store.chunk_clips, *config.shape),
        dtype="float16",
        fill_value=np.nan,
        compressors=(*_codec(store), zarr.codecs.Crc32cCodec()),
        dimension_names=AXES,
        attributes={"long_name": "power relative to 1.0", "units": "dB"},
    )
    for name, dtype in COLUMNS.items():
        group.create_array(
            name, shape=(0,), chunks=(COLUMN_ROWS,), dtype=dtype, dimension_names=("clip",)
        )
    blocks = group.create_group("blocks")
    for name in ("key", "digest"):
        blocks.create_array(
            name,
            shape=(0, KEY_BYTES),
            chunks=(1, KEY_BYTES),
            dtype="uint8",
            compressors=None,
            dimension_names=("block", "byte"),
        )
    blocks.create_array(
        "histogram",
        shape=(0, len(SPLITS), resolutions, CODES),
        chunks=(1, len(SPLITS), resolutions, CODES),
        dtype="uint32",
        fill_value=MISSING_COUNT,
        compressors=(
            zarr.codecs.BloscCodec(cname="lz4", clevel=1, shuffle="shuffle"),
            zarr.codecs.Crc32cCodec(),
        ),
        dimension_names=("block", "split", "resolution", "code"),
    )


def column_chunks(rows: ClipRows) -> Iterator[tuple[str, slice, NDArray[Any]]]:
    """Yield name, rows and values of each chunk of the columns."""
    start = 0
    for part in rows.contents(COLUMN_ROWS):
        selection = slice(start, start + len(part["clip_id"]))
        yield "clip_id", selection, part["clip_id"]
        yield "split", selection, (part["split"] == "test").astype(np.uint8)
        yield "valid", selection, (part["state"] == OK).astype(np.bool_)
        start = selection.stop


def _codec(store: StoreConfig) -> tuple[zarr.codecs.BloscCodec, ...]:
    if store.compression == "none":
        return ()
    return (zarr.codecs.BloscCodec(cname=store.compression, clevel=1, shuffle="shuffle"),)
