"""The training loop of one member: epochs with a checkpoint after each.

The checkpoint holds every variable that changes (weights, optimiser, random generators of the
layers), the best weights so far, and the history. The order of an epoch depends only on seed and
epoch. An interrupted training therefore resumes after its last complete epoch and gives the same
result as an uninterrupted one, as far as the backend is deterministic.
"""

import time
from collections.abc import Mapping, Sequence
from contextlib import closing
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.errors import CorruptError, DivergedError
from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.metrics.divergence import kl
from overlap.system.child_process import Emit
from overlap.system.resources.energy import energy_joules
from overlap.training.checkpoint import (
    CheckpointWriter,
    Progress,
    checkpoint_arrays,
    restore_checkpoint,
)
from overlap.training.engine.epochs import Epochs, open_epochs
from overlap.training.feed.batches import TrainingData
from overlap.training.learner import Learner

PATIENCE_EPOCHS, PATIENCE_STEPS = 5, 2000
"""A loss above the trivial one counts as divergence only this long after the warm-up (the longer of
the two): with a dropout of 0.5, the first epochs of a small set often have such a loss."""


def train(
    learner: Learner,
    data: TrainingData,
    folder: Location,
    emit: Emit,
    trivial_loss: float = np.inf,
) -> Progress:
    """Train a learner, from its checkpoint if there is one; its network holds the result.

    Args:
        learner: The compiled learner.
        data: The training clips.
        folder: Folder of the checkpoint.
        emit: Receives one mapping per epoch.
        trivial_loss: Loss of a prediction that ignores the audio.

    Raises:
        DivergedError: Weights are not finite (code `weights-not-finite`), or the loss stays above
            the trivial one (`loss-above-trivial`).
    """
    training, location = data.training, MemberPaths(folder).checkpoint
    progress, best = _restored(learner, location, emit)
    epochs = open_epochs(learner, data, len(progress.history))
    rate = _Rate(data.clips)
    with closing(epochs), CheckpointWriter(location) as writer:
        for epoch in range(len(progress.history), training.epochs):
            entry = _epoch(epochs, progress)
            _check(learner, entry["loss"], epoch, data, trivial_loss)
            if learner.averaging:
                learner.refresh_batchnorm(epochs.sample())
            held_out = data.partition.held_out
            if len(held_out):
                entry["held_out_kl"] = kl(data.labels[held_out], epochs.held_out())
            if training.keep == "last" or _is_best(entry, progress):
                progress.kept_epoch = epoch + 1
                best = _kept(learner, best, epoch + 1 - (training.epochs - training.tail_epochs))
            progress.history.append(entry)
            event = _event(progress, data, rate.after_epoch(progress.seconds))
            # The event promises that the epoch is safe: it follows the checkpoint.
            writer.write(checkpoint_arrays(learner, progress, best), partial(emit, event))
            if data.resident is None:  # epochs are long, and their event is not to come late
                writer.wait()
        if training.tail_epochs:
            learner.become_average(best, epochs.sample())
        else:
            learner.network.set_weights(best)
    return progress


def _kept(learner: Learner, earlier: Sequence[NDArray[Any]], averaged: int) -> list[NDArray[Any]]:
    """Return the weights to keep after an epoch.

    Args:
        learner: The learner.
        earlier: The weights that were kept before.
        averaged: Epochs whose weights the average covers, this one included; with at most one
            there is no average.
    """
    weights: list[NDArray[Any]] = learner.network.get_weights()
    if averaged <= 1:
        return weights
    return [
        (before + (new - before) / averaged).astype(new.dtype)
        for before, new in zip(earlier, weights, strict=True)
    ]


def _epoch(epochs: Epochs, progress: Progress) -> dict[str, float]:
    started, joules, waited = time.perf_counter(), energy_joules(), epochs.waited
    loss = epochs.one_epoch()
    progress.seconds += time.perf_counter() - started
    progress.waited += epochs.waited - waited
    after = energy_joules()
    if joules is not None and after is not None:
        progress.joules = (progress.joules or 0.0) + after - joules
    return {"loss": loss}


def _check(
    learner: Learner, loss: float, epoch: int, data: TrainingData, trivial_loss: float
) -> None:
    if not all(np.isfinite(weights).all() for weights in learner.network.get_weights()):
        raise DivergedError(
            f"diverged in epoch {epoch + 1}: the weights are not finite",
            code="weights-not-finite", epoch=epoch + 1,
        )  # fmt: skip
    training = data.training
    patience = max(PATIENCE_EPOCHS, PATIENCE_STEPS / data.steps) + training.warmup_epochs
    if epoch + 1 > patience and loss > trivial_loss:
        raise DivergedError(
            f"diverged in epoch {epoch + 1}: the loss {loss:.4f} is above {trivial_loss:.4f}, the "
            "loss of a prediction that ignores the audio",
            code="loss-above-trivial", epoch=epoch + 1, loss=loss, trivial_loss=trivial_loss,
        )  # fmt: skip


def _is_best(entry: Mapping[str, float], progress: Progress) -> bool:
    """Return whether the held-out KL is the lowest so far; True without held-out clips."""
    if "held_out_kl" not in entry:
        return True
    return all(entry["held_out_kl"] < earlier["held_out_kl"] for earlier in progress.history)


class _Rate:
    """Clips per second in the epochs of this process after its first, which also compiles.

    Args:
        clips: Clips of an epoch.
    """

    def __init__(self, clips: int) -> None:
        self._clips, self._epochs, self._begun = clips, 0, 0.0

    def after_epoch(self, seconds: float) -> float | None:
        """Count an epoch, and return the rate; None after the first.

        Args:
            seconds: Time in training epochs so far, over all attempts.
        """
        if not self._epochs:
            self._begun = seconds
        self._epochs += 1
        counted = self._epochs - 1
        return self._clips * counted / max(seconds - self._begun, 1e-9) if counted else None


def _event(progress: Progress, data: TrainingData, rate: float | None) -> dict[str, Any]:
    return {
        "event": "epoch",
        "epoch": len(progress.history),
        "epochs": data.training.epochs,
        **progress.history[-1],
        "seconds": progress.seconds,
        "clips_per_second": data.clips * len(progress.history) / max(progress.seconds, 1e-9),
        "rate": rate,
    }


def _restored(
    learner: Learner, location: Location, emit: Emit
) -> tuple[Progress, list[NDArray[Any]]]:
    """Return progress and kept weights of the checkpoint, or of a training that begins."""
    try:
        found = restore_checkpoint(learner, location)
    except CorruptError as error:
        emit({"event": "again", "reason": f"{error}; the training restarts"})
        found = None
    return found or (Progress(), learner.network.get_weights())
