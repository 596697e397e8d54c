"""Blocks: the ranges of rows that one task computes and writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from overlap.catalog.rows import OK, ClipRows, content_hash
from overlap.config import FeatureConfig, fingerprint


@dataclass(frozen=True)
class Block:
    """A range of rows that one task computes and writes."""

    index: int
    """Index of the block."""
    start: int
    """First row."""
    stop: int
    """Row after the last."""
    key: str
    """Hash of the configuration and the clips; the done marker of a finished block."""
    clips: int
    """Number of its rows that contain a clip."""


def split_blocks(rows: ClipRows, size: int, config: FeatureConfig) -> Iterator[Block]:
    """Split the rows into blocks; each row belongs to exactly one.

    The key of a block depends only on its own rows and the features.

    Args:
        rows: The clips.
        size: Rows per block.
        config: The features.
    """
    features, start = fingerprint(config), 0
    for index, part in enumerate(rows.contents(size)):
        content = f"{features} {content_hash(part).hexdigest()}"
        usable = part["state"] == OK
        key = xxhash.xxh3_128_hexdigest(content.encode())
        yield Block(index, start, start + len(usable), key, int(usable.sum()))
        start += len(usable)
