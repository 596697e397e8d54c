"""What travels between the driver and a worker: the job of a block, and word that it is done."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from overlap.catalog.rows import OK, ClipRows
from overlap.config import AudioFormat
from overlap.features.store.blocks import Block
from overlap.features.store.layout import SPLITS
from overlap.io.location import Location
from overlap.system.energy import Readings


@dataclass(frozen=True)
class BlockJob:
    """Everything that a worker needs to compute one block."""

    workspace: Location
    """The workspace whose store it writes."""
    data: Location
    """The folder of the clips."""
    wanted: AudioFormat
    """The clip format."""
    block: Block
    """The rows."""
    files: tuple[str, ...]
    """File of each row, below `data`."""
    digests: tuple[str, ...]
    """Digest of each row's clip; empty where the row holds none."""
    splits: tuple[int, ...]
    """Index of each row's split; -1 where the row holds no clip."""


@dataclass(frozen=True)
class BlockDone:
    """What a finished block tells the driver."""

    index: int
    """Number of the block."""
    clips: int
    """Clips computed."""
    seconds: float
    """Wall time of the block."""
    energy: Readings | None = None
    """Of the machine that computed it."""


def block_job(workspace: Location, rows: ClipRows, block: Block) -> BlockJob:
    """The job of one block."""
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
    """The jobs of some blocks, each made when it is asked for."""
    return (block_job(workspace, rows, block) for block in blocks)
