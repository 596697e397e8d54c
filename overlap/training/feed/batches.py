"""Batches of a member's training clips, in the form of the learner's inputs."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Partition
from overlap.config import TrainingConfig
from overlap.training.feed.order import epoch_order
from overlap.training.feed.sources import Source

if TYPE_CHECKING:
    from overlap.training.engine.resident import ResidentSet

Batch = tuple[dict[str, NDArray[Any]]]
"""The argument `x` of Keras, without targets: the learner's inputs by name."""


@dataclass(frozen=True, eq=False)
class TrainingData:
    """The training clips of a member, and their order."""

    source: Source
    """Provides decibels by row."""
    labels: NDArray[np.float64]
    """(rows of the catalogue, words) float64."""
    partition: Partition
    """Rows to train on, and rows to score on."""
    chunk_clips: int
    """Rows per chunk of the store."""
    training: TrainingConfig
    seed: int
    """Seed of the order of the clips."""
    on_device: bool = False
    """Whether the training rows are in device memory, in ascending order."""
    resident: "ResidentSet | None" = None
    """All rows in device memory, for epochs that run there as a whole; None: the host feeds."""

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        clips, size = len(self.partition.train), self.training.batch_size
        whole = clips // size
        return whole if whole and self.training.whole_batches else -(-clips // size)

    @property
    def clips(self) -> int:
        """Clips per epoch."""
        return min(len(self.partition.train), self.steps * self.training.batch_size)

    def order(self, number: int) -> NDArray[np.int64]:
        """Return the rows of an epoch in their order; epochs are numbered from 0."""
        return epoch_order(
            self.partition.train,
            self.chunk_clips,
            self.training.shuffle_clips,
            (self.seed, number),
        )[: self.clips]

    def epoch(self, number: int) -> Iterator[Batch]:
        """Yield the batches of an epoch; epochs are numbered from 0."""
        rows, size = self.order(number), self.training.batch_size
        if self.on_device:
            indices = np.searchsorted(self.partition.train, rows).astype(np.int32)
            for start in range(0, len(rows), size):
                yield ({"rows": indices[start : start + size]},)
            return
        labels = self.labels[rows].astype(np.float32)
        for index, decibels in enumerate(self.source.batches(rows, size)):
            yield ({"decibels": decibels, "labels": labels[index * size :][:size]},)
