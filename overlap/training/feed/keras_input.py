"""What Keras's `fit` and `predict` are given: batches, of which few wait."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

import keras

WAITING = 2
"""Batches that wait for the device; what makes them has a queue of its own."""


def keras_input(batches: Iterator[Any]) -> Any:  # noqa: ANN401  Keras takes many things
    """Batches in the form that the backend takes them in.

    A Python generator would do for every backend; but for TensorFlow, Keras lets as many of its
    batches wait as half of the machine's memory holds: 5 GB for a set of 5.7 GB that was to be
    streamed within 1.

    Args:
        batches: Equal structures of arrays, at least one; the first dimension may differ.
    """
    if keras.backend.backend() != "tensorflow":
        return batches
    import tensorflow as tf

    first = next(batches)
    signature = keras.tree.map_structure(
        lambda array: tf.TensorSpec((None, *array.shape[1:]), array.dtype), first
    )
    # TensorFlow never lets go of a generator function: this one must hold no batch.
    pending = [chain([first], batches)]

    def give() -> Iterator[Any]:
        yield from pending.pop()

    given = tf.data.Dataset.from_generator(give, output_signature=signature)
    return given.prefetch(WAITING)
