"""Keeps features and labels in device memory: a step needs only row numbers from the host."""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.training.keras_import import keras, ops

Tensor = Any  # of whichever backend Keras runs on


class DeviceDataset(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Returns the decibels and labels of rows from device memory.

    Args:
        shape: (rows, mel, frame, resolution).
        labels: (rows, words).
    """

    def __init__(self, shape: tuple[int, ...], labels: NDArray[np.float32]) -> None:
        super().__init__(trainable=False, dtype="float32", autocast=False)
        self.decibels = self.add_weight(
            shape=shape, initializer="zeros", dtype="float16", trainable=False, name="decibels"
        )
        self.labels = self.add_weight(
            shape=labels.shape, initializer="zeros", dtype="float32", trainable=False, name="labels"
        )
        self.labels.assign(labels)

    def fill(self, parts: Iterable[NDArray[np.float16]]) -> None:
        """Copy the decibels to the device, part by part, in the order of the rows."""
        start = 0
        for part in parts:
            if keras.backend.backend() == "tensorflow":
                # In place, because `slice_update` would hold all decibels twice.
                self.decibels.value[start : start + len(part)].assign(part)
            else:
                self.decibels.assign(
                    ops.slice_update(self.decibels.value, (start, 0, 0, 0), ops.array(part))
                )
            start += len(part)

    def call(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Return (clips, mel, frame, resolution) float16 dB and (clips, words) of (clips,) rows."""
        return ops.take(self.decibels, rows, axis=0), ops.take(self.labels, rows, axis=0)
