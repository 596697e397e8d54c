"""The input of Keras's `fit` and `predict`: batches, with a short queue."""

from collections.abc import Iterator
from itertools import chain
from typing import Any

from overlap.training.keras_import import keras

QUEUED_BATCHES = 2
"""Batches that wait for the device; their producer has its own queue."""


def keras_input(batches: Iterator[Any]) -> Any:  # noqa: ANN401  Keras takes many things
    """Return the batches in the form that suits the backend.

    Every backend accepts a Python generator. With TensorFlow, however, Keras queues as many
    batches as half of the machine's memory holds: 5 GB in a case where a set of 5.7 GB was to be
    streamed within 1 GB.

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
    # TensorFlow never releases a generator function, so that this one must not hold a batch.
    pending = [chain([first], batches)]

    def generate() -> Iterator[Any]:
        yield from pending.pop()

    options = tf.data.Options()
    # There is nothing to tune, and the thread that tunes delays the end of an iteration: it sleeps
    # for a period that doubles each time, and TensorFlow 2.21 often waits for the end of the sleep.
    options.autotune.enabled = False
    dataset = tf.data.Dataset.from_generator(generate, output_signature=signature)
    return dataset.prefetch(QUEUED_BATCHES).with_options(options)
