"""Blocks: the rows of a store, split into the runs that one task computes and writes."""

from collections.abc import Iterator
from dataclasses import dataclass

import xxhash

from overlap.catalog.rows import OK, ClipRows, content_hash
from overlap.config import FeatureConfig, fingerprint


@dataclass(frozen=True)
class Block:
    """A run of rows that one task computes and writes."""

    index: int
    """Number of the block."""
    start: int
    """First row."""
    stop: int
    """Row after the last."""
    key: str
    """Names the configuration and the clips: what the done marker says when it is done."""
    clips: int
    """Rows of it that hold a clip."""


def split_blocks(rows: ClipRows, size: int, config: FeatureConfig) -> Iterator[Block]:
    """The blocks of some clips; together they hold each row exactly once.

    A block's key depends on its own rows and the features alone.

    Args:
        rows: The clips.
        size: Rows per block.
        config: The features.
    """
    features, start = fingerprint(config), 0
    for index, part in enumerate(rows.parts(size)):
        content = f"{features} {content_hash(part).hexdigest()}"
        clips = int((part["state"] == OK).sum())
        key = xxhash.xxh3_128_hexdigest(content.encode())
        yield Block(index, start, start + len(part), key, clips)
        start += len(part)
