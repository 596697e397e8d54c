"""The training loop of one member: epochs with a checkpoint after each.

The checkpoint holds every variable that changes (weights, optimiser, the random generators of
the layers), the weights that would be kept, and the history; and the order of an epoch depends on
seed and epoch alone. A training that was interrupted anywhere goes on from its last whole epoch
and ends where an uninterrupted one ends, as far as the backend is deterministic.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from overlap.errors import CorruptError, DivergedError
from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.metrics.divergence import kl
from overlap.system.energy import energy_joules
from overlap.training.feed.batches import Batch, TrainingData
from overlap.training.feed.keras_input import keras_input
from overlap.training.feed.passes import PassPrefetcher
from overlap.training.feed.sources import Source
from overlap.training.learner import Learner

Emit = Callable[[Mapping[str, Any]], None]
PREDICT_BATCH = 256
STATISTICS_CLIPS = 2048
"""Clips that the statistics of averaged weights are taken from."""
PATIENCE_EPOCHS, PATIENCE_STEPS = 5, 2000
"""After the warm-up, and so much more, a loss above the trivial one is a divergence. Before, it is
a beginning: with a dropout of one half the first epochs of a small set often are above."""


@dataclass
class Progress:
    """How far a training has come."""

    history: list[dict[str, float]] = field(default_factory=list)
    """Per finished epoch: loss, and held_out_kl where clips are held out."""
    seconds: float = 0.0
    """Time in training epochs, over all attempts."""
    waited: float = 0.0
    """Part of it in which a batch was waited for."""
    joules: float | None = None
    """Energy in training epochs; None where the device does not tell."""
    kept_epoch: int = 0
    """Epoch whose weights are kept, from 1."""


def train(
    learner: Learner,
    data: TrainingData,
    folder: Location,
    emit: Emit,
    trivial_loss: float = np.inf,
) -> Progress:
    """Train a learner, from its last checkpoint if there is one; its network holds the result.

    Args:
        learner: The compiled learner.
        data: What it learns from.
        folder: Where the checkpoint is kept.
        emit: Receives one mapping per epoch.
        trivial_loss: Loss of what knows nothing of the sound.

    Raises:
        DivergedError: weights are no longer finite, or nothing is learned.
    """
    training = data.training
    progress, kept = _restore(learner, MemberPaths(folder).checkpoint, emit)
    ahead = PassPrefetcher(data.epoch, range(len(progress.history), training.epochs))
    try:
        for epoch in range(len(progress.history), training.epochs):
            some: list[Batch] = []
            waited = ahead.waited
            wanted = -(-STATISTICS_CLIPS // training.batch_size) if learner.averaging else 0
            entry = _epoch(learner, data, _kept(ahead.one_pass(), some, wanted), progress)
            progress.waited += ahead.waited - waited
            _check(learner, entry["loss"], epoch, data, trivial_loss)
            learner.refresh_batchnorm(some)
            held_out = data.partition.held_out
            if len(held_out):
                predicted = predict(learner.network, data.source, held_out)
                entry["held_out_kl"] = kl(data.labels[held_out], predicted)
            if training.keep == "last" or _is_best(entry, progress):
                progress.kept_epoch = epoch + 1
                kept = learner.network.get_weights()
            progress.history.append(entry)
            _save(learner, progress, kept, MemberPaths(folder).checkpoint)
            emit(_event(progress, data))
    finally:
        ahead.close()
    learner.network.set_weights(kept)
    return progress


def predict(network: keras.Model, source: Source, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """(rows, words) float64: probabilities of these rows."""
    if not len(rows):
        return np.empty((0, network.output_shape[-1]))
    batches = ((part,) for part in source.batches(rows, PREDICT_BATCH))
    steps = -(-len(rows) // PREDICT_BATCH)
    predicted = network.predict(keras_input(batches), steps=steps, verbose=0)
    return np.asarray(predicted, np.float64)


def _kept(batches: Iterator[Batch], some: list[Batch], wanted: int) -> Iterator[Batch]:
    """The batches, of which the first are put aside as they pass."""
    for batch in batches:
        if len(some) < wanted:
            some.append(batch)
        yield batch


def _epoch(
    learner: Learner, data: TrainingData, batches: Iterator[Batch], progress: Progress
) -> dict[str, float]:
    started, joules = time.perf_counter(), energy_joules()
    loss = learner.one_epoch(batches, data.steps)
    progress.seconds += time.perf_counter() - started
    after = energy_joules()
    if joules is not None and after is not None:
        progress.joules = (progress.joules or 0.0) + after - joules
    return {"loss": loss}


def _check(
    learner: Learner, loss: float, epoch: int, data: TrainingData, trivial_loss: float
) -> None:
    if not all(np.isfinite(weights).all() for weights in learner.network.get_weights()):
        raise DivergedError(f"diverged in epoch {epoch + 1}: its weights are not finite")
    training = data.training
    patience = max(PATIENCE_EPOCHS, PATIENCE_STEPS / data.steps) + training.warmup_epochs
    if epoch + 1 > patience and loss > trivial_loss:
        raise DivergedError(
            f"diverged: its loss in epoch {epoch + 1} is {loss:.4f}, above {trivial_loss:.4f} of "
            "what knows nothing of the sound"
        )


def _is_best(entry: Mapping[str, float], progress: Progress) -> bool:
    """Whether no earlier epoch had a lower held-out KL; always where none is known."""
    if "held_out_kl" not in entry:
        return True
    return all(entry["held_out_kl"] < earlier["held_out_kl"] for earlier in progress.history)


def _event(progress: Progress, data: TrainingData) -> dict[str, Any]:
    epochs = len(progress.history)
    return {
        "event": "epoch",
        "epoch": epochs,
        "epochs": data.training.epochs,
        **progress.history[-1],
        "clips_per_second": data.clips * epochs / max(progress.seconds, 1e-9),
    }


def _save(
    learner: Learner, progress: Progress, kept: list[NDArray[Any]], location: Location
) -> None:
    about = json.dumps(asdict(progress))
    state = {
        f"v{index}": keras.ops.convert_to_numpy(variable.value)
        for index, variable in enumerate(learner.state)
    }
    best = {f"k{index}": values for index, values in enumerate(kept)}
    location.write_arrays({"about": np.frombuffer(about.encode(), np.uint8), **state, **best})


def _restore(
    learner: Learner, location: Location, emit: Emit
) -> tuple[Progress, list[NDArray[Any]]]:
    nothing = Progress(), learner.network.get_weights()
    if not location.exists():
        return nothing
    try:
        saved = location.read_arrays()
    except CorruptError as error:
        emit({"event": "again", "reason": f"{error}; the training begins again"})
        return nothing
    for index, variable in enumerate(learner.state):
        variable.assign(saved[f"v{index}"])
    kept = [saved[f"k{index}"] for index in range(len(learner.network.weights))]
    return Progress(**json.loads(saved["about"].tobytes())), kept
