"""Epochs of a member: fed batch by batch by the host, or run as a whole on the device."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from overlap.training.feed.batches import Batch, TrainingData
from overlap.training.feed.keras_input import keras_input
from overlap.training.feed.passes import PassPrefetcher
from overlap.training.feed.sources import Source
from overlap.training.keras_import import keras

if TYPE_CHECKING:
    from overlap.training.engine.resident import ResidentSet
    from overlap.training.learner import Learner

PREDICT_BATCH = 256
STATISTICS_CLIPS = 2048
"""Clips from which the batch statistics of averaged weights are computed."""


class Epochs(Protocol):
    """The epochs of a training that are left, in their order."""

    @property
    def waited(self) -> float:
        """Seconds for which the device waited for a batch so far."""
        ...

    def one_epoch(self) -> float:
        """Train one epoch, and return the mean loss, nats."""
        ...

    def sample(self) -> Iterable[tuple[dict[str, Any]]]:
        """Return batches of the last epoch, for the statistics of averaged weights."""
        ...

    def held_out(self) -> NDArray[np.float64]:
        """Return the (clips, words) probabilities of the held-out clips."""
        ...

    def close(self) -> None:
        """Release threads and buffers."""
        ...


def open_epochs(learner: "Learner", data: TrainingData, first: int) -> Epochs:
    """Return the epochs from `first` on, which is counted from 0."""
    if data.resident is None:
        return StreamedEpochs(learner, data, first)
    return ResidentEpochs(learner, data, data.resident, first)


class StreamedEpochs:
    """Epochs whose batches the host makes in a thread, one ahead of another.

    Args:
        learner: The learner.
        data: The training clips.
        first: The first epoch, counted from 0.
    """

    def __init__(self, learner: "Learner", data: TrainingData, first: int) -> None:
        self._learner, self._data = learner, data
        self._ahead = PassPrefetcher(data.epoch, range(first, data.training.epochs))
        self._sample: list[Batch] = []
        self._last = first - 1
        self._sample_size = -(-STATISTICS_CLIPS // data.training.batch_size)

    @property
    def waited(self) -> float:
        """Seconds for which the device waited for a batch so far."""
        return self._ahead.waited

    def one_epoch(self) -> float:
        """Train one epoch, and return the mean loss, nats."""
        self._sample = []
        self._last += 1
        size = self._sample_size if self._learner.averaging else 0
        batches = self._collect(self._ahead.one_pass(), size)
        return self._learner.one_epoch(batches, self._data.steps)

    def _collect(self, batches: Iterator[Batch], size: int) -> Iterator[Batch]:
        """Yield the batches, and keep the first ones as the sample."""
        for batch in batches:
            if len(self._sample) < size:
                self._sample.append(batch)
            yield batch

    def sample(self) -> Iterable[Batch]:
        """Return the first batches of the last epoch, which are read again unless averaging."""
        return self._sample or islice(self._data.epoch(self._last), self._sample_size)

    def held_out(self) -> NDArray[np.float64]:
        """Return the (clips, words) probabilities of the held-out clips."""
        data = self._data
        return predict(self._learner.network, data.source, data.partition.held_out)

    def close(self) -> None:
        """End the thread."""
        self._ahead.close()


class ResidentEpochs:
    """Epochs over a resident set; the device needs only the order of the clips (JAX).

    Args:
        learner: The learner.
        data: The training clips.
        resident: Their decibels and labels, and those of the held-out clips.
        first: The first epoch, counted from 0.
    """

    waited = 0.0
    """Seconds for which the device waited for a batch: there are none."""

    def __init__(
        self, learner: "Learner", data: TrainingData, resident: "ResidentSet", first: int
    ) -> None:
        from overlap.training.engine.resident import ResidentTrainer

        self._trainer = ResidentTrainer(learner.model, learner.network, resident)
        self._data, self._next = data, first
        self._rows = data.order(first - 1) if first else data.partition.train[:0]

    def one_epoch(self) -> float:
        """Train one epoch, and return the mean loss, nats."""
        self._rows = self._data.order(self._next)
        self._next += 1
        return self._trainer.one_epoch(self._rows, self._data.training.batch_size)

    def sample(self) -> Iterable[tuple[dict[str, Any]]]:
        """Return the first batches of the last epoch."""
        rows = self._rows[:STATISTICS_CLIPS]
        return self._trainer.batches(rows, self._data.training.batch_size)

    def held_out(self) -> NDArray[np.float64]:
        """Return the (clips, words) probabilities of the held-out clips."""
        return self._trainer.predict(self._data.partition.held_out)

    def close(self) -> None:
        """Do nothing: the device frees its memory with the process."""


def predict(network: keras.Model, source: Source, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Return the (rows, words) float64 probabilities of these rows."""
    if not len(rows):
        return np.empty((0, network.output_shape[-1]))
    batches: Iterator[Any] = ((part,) for part in source.batches(rows, PREDICT_BATCH))
    steps = -(-len(rows) // PREDICT_BATCH)
    predicted = network.predict(keras_input(batches), steps=steps, verbose=0)
    return np.asarray(predicted, np.float64)
