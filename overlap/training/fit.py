"""The training loop of one member: epochs with a checkpoint after each.

The checkpoint holds every variable that changes (weights, optimiser, the random generators of
the layers) and the history, and the order of an epoch depends on seed and epoch alone. A
training that was interrupted anywhere goes on from its last whole epoch and ends where an
uninterrupted one ends, as far as the backend is deterministic.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from overlap.catalog import Partition
from overlap.config import TrainingConfig
from overlap.ensemble.scoring import kl
from overlap.errors import MemberError
from overlap.storage import Location
from overlap.training.feed import Batches, Source, epoch_order
from overlap.training.spec import CHECKPOINT_FILE

Emit = Callable[[Mapping[str, Any]], None]
PREDICT_BATCH = 256


@dataclass
class Progress:
    """How far a training has come."""

    history: list[dict[str, float]]
    """Per finished epoch: loss, and held_out_kl where clips are held out."""
    seconds: float
    """Time in training epochs, over all attempts."""


def compile_network(network: keras.Model, training: TrainingConfig, steps: int) -> None:
    """Attach loss and optimiser.

    Args:
        network: The untrained network.
        training: Optimiser, rate and schedule.
        steps: Steps per epoch.
    """
    rate: Any = training.learning_rate
    if training.schedule == "cosine":
        warmup = round(training.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 10 if warmup else rate,
            decay_steps=max(1, training.epochs * steps - warmup),
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    optimizers = {"nadam": keras.optimizers.Nadam, "adamw": keras.optimizers.AdamW}
    network.compile(optimizer=optimizers[training.optimizer](rate), loss="kl_divergence")
    network.optimizer.build(network.trainable_variables)


def train(  # noqa: PLR0913  the loop is where everything meets
    network: keras.Model,
    training: TrainingConfig,
    source: Source,
    labels: NDArray[np.float64],
    partition: Partition,
    *,
    seed: int,
    chunk_clips: int,
    folder: Location,
    emit: Emit,
) -> Progress:
    """Train a compiled network, from its last checkpoint if there is one.

    Args:
        network: The compiled network; holds the result.
        training: Epochs and batch size.
        source: Features by row.
        labels: (all rows, words) float64.
        partition: Rows to learn from and rows to be scored on.
        seed: Seed of the order of the clips.
        chunk_clips: Rows per chunk of the store.
        folder: Where the checkpoint is kept.
        emit: Receives one mapping per epoch.

    Raises:
        MemberError: weights are no longer finite.
    """
    progress = _restore(network, folder / CHECKPOINT_FILE)
    for epoch in range(len(progress.history), training.epochs):
        started = time.perf_counter()
        order = epoch_order(partition.train, chunk_clips, training.shuffle_clips, (seed, epoch))
        batches = Batches(source, order, training.batch_size, labels)
        # Keras would visit the batches in an order of its own, drawn from a generator that no
        # checkpoint holds.
        result = network.fit(batches, epochs=1, shuffle=False, verbose=0)
        seconds = time.perf_counter() - started
        entry = {"loss": float(result.history["loss"][-1])}
        if not all(np.isfinite(weights).all() for weights in network.get_weights()):
            raise MemberError(
                f"the training diverged in epoch {epoch + 1} (loss {entry['loss']:.3g}); lower "
                "training.learning_rate"
            )
        if len(partition.held_out):
            predicted = predict(network, source, partition.held_out)
            entry["held_out_kl"] = kl(labels[partition.held_out], predicted)
        progress.history.append(entry)
        progress.seconds += seconds
        _save(network, progress, folder / CHECKPOINT_FILE)
        emit(
            {
                "event": "epoch",
                "epoch": epoch + 1,
                "epochs": training.epochs,
                **entry,
                "clips_per_second": len(order) / seconds,
            }
        )
    return progress


def predict(network: keras.Model, source: Source, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(rows, words) float64: probabilities of these rows."""
    if not len(rows):
        return np.empty((0, network.output_shape[-1]))
    predicted = network.predict(Batches(source, rows, PREDICT_BATCH), verbose=0)
    return np.asarray(predicted, np.float64)


def _state(network: keras.Model) -> list[Any]:
    """Every variable that training changes, in a fixed order."""
    metrics = {id(variable) for variable in network.metrics_variables}
    own = [variable for variable in network.variables if id(variable) not in metrics]
    return own + list(network.optimizer.variables)


def _save(network: keras.Model, progress: Progress, location: Location) -> None:
    about = json.dumps({"history": progress.history, "seconds": progress.seconds})
    arrays = {
        f"v{index}": keras.ops.convert_to_numpy(variable.value)
        for index, variable in enumerate(_state(network))
    }
    location.write_arrays({"about": np.frombuffer(about.encode(), np.uint8), **arrays})


def _restore(network: keras.Model, location: Location) -> Progress:
    if not location.exists():
        return Progress([], 0.0)
    saved = location.read_arrays()
    for index, variable in enumerate(_state(network)):
        variable.assign(saved[f"v{index}"])
    about = json.loads(saved["about"].tobytes())
    return Progress(about["history"], about["seconds"])
