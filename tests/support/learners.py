"""Small learners and their data, without a store or a worker process."""

from collections.abc import Iterator

import keras
import numpy as np

from overlap.catalog import Partition
from overlap.config import AugmentConfig, NetworkConfig, Stage, TrainingConfig
from overlap.features import Normalisation
from overlap.training.feed.batches import TrainingData
from overlap.training.feed.device_dataset import DeviceDataset
from overlap.training.learner import Learner, build_learner
from overlap.training.network import build_network, precision

CONSTANTS = Normalisation((-70.0, -60.0), (-30.0, -30.0), (15.0, 15.0))
SMALL = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8, dropout=0.2)
CLIPS, SHAPE, WORDS = 96, (8, 9, 2), 4
FULL_RECIPE = {
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "schedule": "cosine",
    "warmup_epochs": 1,
    "average_epochs": 0.5,
    "weight_decay": 0.01,
    "keep": "best",
    "augment": AugmentConfig(mix=0.5, shift_frames=1, masks=1, mask_mels=2, mask_frames=2),
}


class StoppedError(Exception):
    """Interrupts the training."""


class ArraySource:
    """Returns rows of an array."""

    def __init__(self, decibels: np.ndarray) -> None:
        self._decibels = decibels

    def batches(self, rows: np.ndarray, size: int) -> Iterator[np.ndarray]:
        for start in range(0, len(rows), size):
            yield self._decibels[rows[start : start + size]]


def arrays() -> tuple[np.ndarray, np.ndarray]:
    """Return clips of two words each, in which a word is a loud mel band."""
    random = np.random.default_rng(0)
    chosen = np.argsort(random.random((CLIPS, WORDS)), axis=1)[:, :2]
    labels = np.zeros((CLIPS, WORDS))
    np.put_along_axis(labels, chosen, 0.5, axis=1)
    decibels = random.normal(-45, 5, (CLIPS, *SHAPE))
    decibels[:, ::2] += 30 * (labels > 0)[:, :, None, None]
    return decibels.astype(np.float16), labels


def data_of(on_device: bool = False, **training: object) -> TrainingData:
    decibels, labels = arrays()
    rows = np.arange(CLIPS)
    return TrainingData(
        source=ArraySource(decibels),
        labels=labels,
        partition=Partition(rows[:80], rows[80:]),
        chunk_clips=8,
        training=TrainingConfig(**({"epochs": 4, "batch_size": 16} | training)),
        seed=1,
        on_device=on_device,
    )


def learner_of(data: TrainingData, subset: int | None = None) -> Learner:
    keras.utils.set_random_seed(3)
    dataset = None
    if data.on_device:
        decibels, labels = arrays()
        rows = data.partition.train
        dataset = DeviceDataset((len(rows), *SHAPE), labels[rows].astype(np.float32))
        dataset.fill(iter([decibels[rows[:50]], decibels[rows[50:]]]))
    with precision(data.training.precision):
        network = build_network(SMALL, SHAPE, WORDS, CONSTANTS, subset)
        return build_learner(
            network, data.training, CONSTANTS,
            subset=subset, steps=data.steps, seed=9, dataset=dataset,
        )  # fmt: skip
