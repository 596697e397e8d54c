"""Messages between driver and workers: the job of a block and its completion."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from overlap.catalog.rows import OK, ClipRows
from overlap.config import AudioFormat
from overlap.features.store.blocks import Block
from overlap.features.store.layout import SPLITS
from overlap.io.location import Location
from overlap.system.resources.energy import Readings


@dataclass(frozen=True)
class BlockJob:
    """The input of a worker that computes one block."""

    workspace: Location
    """The workspace of the store."""
    data: Location
    """The folder of the clips."""
    wanted: AudioFormat
    """The clip format."""
    block: Block
    """The rows."""
    files: tuple[str, ...]
    """File of each row, relative to `data`."""
    digests: tuple[str, ...]
    """Digest of each row's clip; empty for rows without a clip."""
    splits: tuple[int, ...]
    """Index of each row's split; -1 for rows without a clip."""


@dataclass(frozen=True)
class BlockDone:
    """The completion of a block, reported to the driver."""

    index: int
    """Number of the block."""
    clips: int
    """Number of computed clips."""
    seconds: float
    """Wall time of the block, seconds."""
    energy: Readings | None = None
    """Energy readings of the machine that computed it; None if not measured."""


def block_job(workspace: Location, rows: ClipRows, block: Block) -> BlockJob:
    """Create the job of one block."""
    part = rows.part(block.start, block.stop)
    usable = (part["state"] == OK).to_numpy(np.bool_)
    splits = np.where(usable, [SPLITS.index(split) for split in part["split"]], -1)
    return BlockJob(
        workspace=workspace,
        data=Location(rows.data),
        wanted=rows.wanted,
        block=block,
        files=tuple(part["file"]),
        digests=tuple(part["digest"].where(usable, "")),
        splits=tuple(splits.tolist()),
    )


def block_jobs(workspace: Location, rows: ClipRows, blocks: Iterable[Block]) -> Iterator[BlockJob]:
    """Create the jobs of blocks lazily."""
    return (block_job(workspace, rows, block) for block in blocks)
