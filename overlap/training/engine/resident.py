"""Epochs that run as a whole on the device (JAX): features, labels and state stay there.

The host sends the row numbers of an epoch. A loop on the device takes the rows of each step from
the resident set and calls Keras's own stateless train step, so that no step waits for Python.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from overlap.training.keras_import import keras

STEPS_PER_CALL = 256
"""Steps per call of the device: between calls the process handles signals."""
PREDICT_BATCH = 256
State = tuple[list[jax.Array], list[jax.Array], list[jax.Array], list[jax.Array]]
"""Trainable, other, optimiser and metric variables, as Keras's stateless train step takes them."""


class ResidentSet:
    """Decibels and labels of rows in the memory of the device.

    Args:
        rows: The rows, ascending.
        labels: (rows, words) float32.
        shape: (mel, frame, resolution).
        parts: The decibels, (clips, mel, frame, resolution) float16, part by part in the order of
            the rows.
    """

    def __init__(
        self,
        rows: NDArray[np.int64],
        labels: NDArray[np.float32],
        shape: tuple[int, ...],
        parts: Iterable[NDArray[np.float16]],
    ) -> None:
        self._rows = rows
        self.labels = jnp.asarray(labels)
        self.decibels = jnp.zeros((len(rows), *shape), jnp.float16)
        start = 0
        for part in parts:
            # Donated, so that the decibels are held once.
            self.decibels = insert(self.decibels, part, start)
            start += len(part)

    def indices(self, rows: NDArray[np.int64]) -> NDArray[np.int32]:
        """Return the positions of rows in the set."""
        return np.searchsorted(self._rows, rows).astype(np.int32)


@partial(jax.jit, donate_argnums=0)
def insert(decibels: jax.Array, part: jax.Array, start: int) -> jax.Array:
    """Return (clips, mel, frame, resolution) decibels with those of a part from `start` on."""
    return jax.lax.dynamic_update_slice(decibels, part, (start, 0, 0, 0))


def _batch(decibels: jax.Array, labels: jax.Array, rows: jax.Array) -> tuple[dict[str, jax.Array]]:
    taken = [array.at[rows].get(mode="promise_in_bounds") for array in (decibels, labels)]
    return (dict(zip(("decibels", "labels"), taken, strict=True)),)


class ResidentTrainer:
    """Trains and predicts on a resident set.

    Args:
        model: The compiled model that maps `decibels` and `labels` to losses.
        network: The network that maps decibels to probabilities; shares the model's layers.
        data: The resident set.
    """

    def __init__(self, model: keras.Model, network: keras.Model, data: ResidentSet) -> None:
        self._model, self._network, self._data = model, network, data
        self._steps = jax.jit(epoch_program(model), donate_argnums=0)
        self._predict = jax.jit(partial(_predict, network))

    def one_epoch(self, rows: NDArray[np.int64], batch_size: int) -> float:
        """Train on the rows in their order, and return the mean loss, nats.

        Args:
            rows: The rows of the epoch; a last batch may be smaller.
            batch_size: Clips per step.
        """
        model, indices = self._model, self._data.indices(rows)
        model.reset_metrics()
        state = _values(model)
        whole = len(indices) // batch_size * batch_size
        for part in (indices[:whole].reshape(-1, batch_size), indices[None, whole:]):
            if not part.size:
                continue
            size = steps_per_call(len(part))
            for start in range(0, len(part), size):
                rows_of_call = jnp.asarray(part[start : start + size])
                state = self._steps(state, self._data.decibels, self._data.labels, rows_of_call)
                jax.block_until_ready(state[3])
        for variables, values in zip(train_variables(model), state, strict=True):
            for variable, value in zip(variables, values, strict=True):
                variable.assign(value)
        model.optimizer.finalize_variable_values(model.trainable_variables)
        return float(model.get_metrics_result()["loss"])

    def predict(self, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the (rows, words) float64 probabilities of these rows."""
        network = self._network
        indices = self._data.indices(rows)
        padded = np.resize(indices, (-(-len(rows) // PREDICT_BATCH), PREDICT_BATCH))
        variables = network.trainable_variables, network.non_trainable_variables
        values = [[one.value for one in some] for some in variables]
        predicted = self._predict(*values, self._data.decibels, jnp.asarray(padded))
        return np.asarray(predicted, np.float64).reshape(-1, predicted.shape[-1])[: len(rows)]

    def batches(self, rows: NDArray[np.int64], size: int) -> Iterator[tuple[dict[str, jax.Array]]]:
        """Yield batches of these rows, in their order, as inputs of the model."""
        indices = self._data.indices(rows)
        for start in range(0, len(rows), size):
            part = jnp.asarray(indices[start : start + size])
            yield _batch(self._data.decibels, self._data.labels, part)


def steps_per_call(steps: int) -> int:
    """Return how many steps of an epoch one call executes: equal calls need one program."""
    if steps <= STEPS_PER_CALL:
        return steps
    divisors = [n for n in range(STEPS_PER_CALL // 2, STEPS_PER_CALL + 1) if steps % n == 0]
    calls = -(-steps // STEPS_PER_CALL)
    return max(divisors, default=-(-steps // calls))


def epoch_program(model: keras.Model) -> Callable[..., State]:
    """Return the function that trains some steps of an epoch, for JAX to compile.

    Its arguments are the state, the resident (clips, mel, frame, resolution) decibels and
    (clips, words) labels, and the (steps, batch) int32 positions of the clips of each step. It
    returns the state. The number of steps is a constant of the program: the host can then launch
    steps ahead of the device.
    """

    def steps(state: State, decibels: jax.Array, labels: jax.Array, rows: jax.Array) -> State:
        def step(state: State, chosen: jax.Array) -> tuple[State, None]:
            return model.train_step(state, _batch(decibels, labels, chosen))[1], None

        final: State = jax.lax.scan(step, state, rows)[0]
        return final

    return steps


def _predict(
    network: keras.Model,
    trainable: Sequence[jax.Array],
    other: Sequence[jax.Array],
    decibels: jax.Array,
    rows: jax.Array,
) -> jax.Array:
    def one(chosen: jax.Array) -> jax.Array:
        part = decibels.at[chosen].get(mode="promise_in_bounds")
        predicted: jax.Array = network.stateless_call(trainable, other, part, training=False)[0]
        return predicted

    all_of_them: jax.Array = jax.lax.map(one, rows)
    return all_of_them


def train_variables(model: keras.Model) -> tuple[list[Any], ...]:
    """Return the variables whose values are the state of Keras's stateless train step."""
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )


def _values(model: keras.Model) -> State:
    trainable, other, optimizer, metrics = (
        [variable.value for variable in variables] for variables in train_variables(model)
    )
    return trainable, other, optimizer, metrics
