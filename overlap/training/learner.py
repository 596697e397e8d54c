"""The network while it learns: clips and labels in, loss out, all of it on the device.

    decibels, labels -> augmentation -> the network's scores -> loss

Labels are an input, because mixing two clips mixes their labels, and the loss is an output. The
layers of the network are the same objects, so what is learned is in the network, which is saved
without any of this. Where the features are kept on the device, the inputs are row numbers.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
from keras import ops

from overlap.config import TrainingConfig
from overlap.features import Normalisation
from overlap.training.augment import augment
from overlap.training.feed.batches import Batch
from overlap.training.feed.device_dataset import DeviceDataset
from overlap.training.feed.keras_input import keras_input
from overlap.training.network import SCORES
from overlap.training.subset import log_partition

Tensor = Any  # of whichever backend Keras runs on


class Loss(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Divergence of scores from labels, as the loss of the model.

    For the softmax it is KL(label || prediction). For sets of k words it is the negative
    logarithm of the probability of the true set, log Z - k * sum_w p_w s_w, which also holds the
    label of a mixture of clips.

    Args:
        subset: Words per clip; None: softmax.
    """

    def __init__(self, subset: int | None) -> None:
        super().__init__(dtype="float32")
        self.subset = subset

    def call(self, scores: Tensor, labels: Tensor) -> Tensor:
        """(clips, words) scores and labels to (clips,) losses, nats."""
        if self.subset is None:
            logarithms = ops.log(ops.maximum(labels, keras.config.epsilon()))
            losses = ops.sum(labels * (logarithms - ops.log_softmax(scores)), axis=-1)
        else:
            chosen = self.subset * ops.sum(labels * scores, axis=-1)
            losses = log_partition(scores, self.subset) - chosen
        self.add_loss(ops.mean(losses))
        return losses


@dataclass(frozen=True, eq=False)
class Learner:
    """A network and what trains it."""

    network: keras.Model
    """From decibels to shares."""
    model: keras.Model
    """From decibels (or rows) and labels to losses; compiled."""
    averaging: bool
    """Whether the weights become their average after every epoch."""

    @property
    def state(self) -> list[Any]:
        """Every variable that training changes, in a fixed order."""
        metrics = {id(variable) for variable in self.model.metrics_variables}
        kept = {id(v) for layer in self.model.layers if isinstance(layer, DeviceDataset)
                for v in layer.variables}  # fmt: skip
        own = [v for v in self.model.variables if id(v) not in metrics | kept]
        return own + list(self.model.optimizer.variables)

    def one_epoch(self, batches: Iterator[Batch], steps: int) -> float:
        """Learn from some batches, in their order; the mean loss."""
        # Keras would visit the batches in an order of its own, drawn from a generator that no
        # checkpoint holds.
        result = self.model.fit(
            keras_input(batches), steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0
        )
        return float(result.history["loss"][-1])

    def refresh_batchnorm(self, batches: Iterable[Batch]) -> None:
        """After an epoch with averaging: make the network fit to be scored and kept.

        Keras ends every `fit` by making the weights their average, and the next epoch starts from
        there. The statistics of the batch normalisations are still those of the weights that
        passed by; here they are taken anew.

        Args:
            batches: Training batches that the statistics are taken from.
        """
        if not self.averaging:
            return
        for variable in self.model.trainable_variables:
            # With JAX it is now the optimiser's own array, which the next call would use up.
            variable.assign(ops.copy(variable.value))
        self._renew_statistics(batches)

    def _renew_statistics(self, batches: Iterable[Batch]) -> None:
        layers = [
            layer
            for layer in self.network.layers
            if isinstance(layer, keras.layers.BatchNormalization)
        ]
        momenta = [layer.momentum for layer in layers]
        try:
            for number, (inputs,) in enumerate(batches):
                for layer in layers:  # the plain mean over the batches
                    layer.momentum = number / (number + 1)
                self.model(inputs, training=True)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum


def build_learner(
    network: keras.Model,
    training: TrainingConfig,
    constants: Normalisation,
    *,
    subset: int | None,
    steps: int,
    seed: int,
    resident: DeviceDataset | None = None,
) -> Learner:
    """Make the network ready to learn.

    Args:
        network: The untrained network.
        training: Optimiser, rate, schedule, augmentation.
        constants: Floor and mean of the features: silence and blanks of the augmentation.
        subset: Words per clip, where the network's head is one over sets.
        steps: Steps per epoch.
        seed: Seed of the augmentation.
        resident: Features and labels on the device; None: batches bring them.
    """
    words = network.output_shape[-1]
    if resident is None:
        decibels = keras.Input(network.input_shape[1:], dtype="float16", name="decibels")
        labels = keras.Input((words,), dtype="float32", name="labels")
        inputs = {"decibels": decibels, "labels": labels}
    else:
        rows = keras.Input((), dtype="int32", name="rows")
        inputs = {"rows": rows}
        decibels, labels = resident(rows)
    changed, labels = augment(decibels, labels, training.augment, constants, seed)
    to_scores = keras.Model(network.input, network.get_layer(SCORES).output)
    scores = to_scores(ops.cast(changed, "float16"))
    model = keras.Model(inputs, Loss(subset)(scores, labels))
    optimizer = _optimizer(training, steps)
    if training.precision == "float16":  # its gradients would underflow
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_call)
    model.optimizer.build(model.trainable_variables)
    return Learner(network, model, training.average_epochs > 0)


def _optimizer(training: TrainingConfig, steps: int) -> keras.optimizers.Optimizer:
    rate: Any = training.learning_rate
    if training.schedule == "cosine":
        warmup = round(training.warmup_epochs * steps)
        rate = keras.optimizers.schedules.CosineDecay(
            initial_learning_rate=rate / 10 if warmup else rate,
            decay_steps=max(1, training.epochs * steps - warmup),
            warmup_target=rate if warmup else None,
            warmup_steps=warmup,
        )
    average = {}
    if training.average_epochs:
        momentum = 1 - 1 / max(1.0, training.average_epochs * steps)
        average = {"use_ema": True, "ema_momentum": momentum}
    if training.optimizer == "nadam":
        return keras.optimizers.Nadam(rate, **average)
    optimizer = keras.optimizers.AdamW(rate, weight_decay=training.weight_decay, **average)
    # Decay belongs to the kernels: a bias or a scale that shrinks only biases the layer.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer
