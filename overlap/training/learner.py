"""The trainable model around the network: clips and labels in, loss out, all on the device.

    decibels, labels -> augmentation -> the network's scores -> loss

Labels are an input, because mixing two clips mixes their labels, and the loss is an output. The
model shares its layers with the network, which is saved alone. If the features are kept in device
memory, the inputs are row numbers.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from overlap.config import TrainingConfig
from overlap.features import Normalisation
from overlap.training.augment import augment
from overlap.training.distillation.teacher import Teacher
from overlap.training.engine.fused_network import FusedNetwork, can_fuse
from overlap.training.engine.optimizers import build_optimizer
from overlap.training.feed.batches import Batch
from overlap.training.feed.device_dataset import DeviceDataset
from overlap.training.feed.keras_input import keras_input
from overlap.training.keras_import import keras, ops
from overlap.training.network import EPSILON, Network, statistics_momentum
from overlap.training.subset import log_partition

Tensor = Any  # of whichever backend Keras runs on


class Loss(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Adds the divergence of the scores from the labels as the loss of the model.

    For the softmax it is KL(label || prediction). For sets of k words it is the negative logarithm
    of the probability of the true set, log Z - k * sum_w p_w s_w, which is also defined for the
    label of a mixture of clips.

    Args:
        subset: Words per clip; None: softmax.
    """

    def __init__(self, subset: int | None) -> None:
        super().__init__(dtype="float32")
        self.subset = subset

    def call(self, scores: Tensor, labels: Tensor) -> Tensor:
        """Return the (clips,) losses of (clips, words) scores and labels, nats."""
        if self.subset is None:
            logarithms = ops.log(ops.maximum(labels, EPSILON))
            losses = ops.sum(labels * (logarithms - ops.log_softmax(scores)), axis=-1)
        else:
            chosen = self.subset * ops.sum(labels * scores, axis=-1)
            losses = log_partition(scores, self.subset) - chosen
        self.add_loss(ops.mean(losses))
        return losses


@dataclass(frozen=True, eq=False)
class Learner:
    """A network with the compiled model that trains it."""

    network: keras.Model
    """Maps decibels to probabilities."""
    model: keras.Model
    """Maps decibels and labels, or rows, to losses; compiled."""
    averaging: bool
    """Whether the weights are replaced by their moving average after every epoch."""
    tail_epochs: int = 0
    """Last epochs over whose ends the kept weights are averaged; 0: none."""

    @property
    def state(self) -> list[Any]:
        """Every variable that training changes, in a fixed order."""
        metrics = {id(variable) for variable in self.model.metrics_variables}
        data = {id(v) for layer in self.model.layers if isinstance(layer, DeviceDataset | Teacher)
                for v in layer.variables}  # fmt: skip
        own = [v for v in self.model.variables if id(v) not in metrics | data]
        return own + list(self.model.optimizer.variables)

    def one_epoch(self, batches: Iterator[Batch], steps: int) -> float:
        """Train on the batches in their order, and return the mean loss, nats."""
        # With shuffle=True, Keras would shuffle with a generator that is not in the checkpoint.
        result = self.model.fit(
            keras_input(batches), steps_per_epoch=steps, epochs=1, shuffle=False, verbose=0
        )
        return float(result.history["loss"][-1])

    def refresh_batchnorm(self, batches: Iterable[tuple[dict[str, Tensor]]]) -> None:
        """Recompute the statistics of the batch normalisations after an epoch with averaging.

        At the end of every `fit`, Keras replaces the weights by their average, from which the next
        epoch starts. The batch statistics still belong to the weights before averaging. Without
        averaging this does nothing.

        Args:
            batches: Training batches from which the statistics are computed.
        """
        if not self.averaging:
            return
        for variable in self.model.trainable_variables:
            # With JAX it is the array of the optimiser, which the next call would donate.
            variable.assign(ops.copy(variable.value))
        self._recompute_statistics(batches)

    def become_average(
        self, weights: Sequence[NDArray[Any]], batches: Iterable[tuple[dict[str, Tensor]]]
    ) -> None:
        """Set the network's weights to an average, and recompute the batch statistics for it.

        Args:
            weights: The averaged weights, in the order of the network's.
            batches: Training batches from which the statistics are computed.
        """
        self.network.set_weights(weights)
        self._recompute_statistics(batches)

    def _recompute_statistics(self, batches: Iterable[tuple[dict[str, Tensor]]]) -> None:
        layers = batch_norms(self.network)
        momenta = [layer.momentum for layer in layers]
        try:
            for number, (inputs,) in enumerate(batches):
                for layer in layers:  # the plain mean over the batches
                    layer.momentum = number / (number + 1)
                self.model(inputs, training=True)
        finally:
            for layer, momentum in zip(layers, momenta, strict=True):
                layer.momentum = momentum


def batch_norms(network: keras.Model) -> list[keras.layers.BatchNormalization]:
    """Return the batch normalisations of a network, in the order of its layers."""
    norm = keras.layers.BatchNormalization
    return [layer for layer in network.layers if isinstance(layer, norm)]


def build_learner(  # noqa: PLR0913  what a training consists of
    network: Network,
    training: TrainingConfig,
    constants: Normalisation,
    *,
    subset: int | None,
    steps: int,
    seed: int,
    dataset: DeviceDataset | None = None,
    fused: bool = True,
    teacher: Teacher | None = None,
) -> Learner:
    """Build and compile the model that trains a network.

    Args:
        network: The untrained network.
        training: Optimiser, learning rate, schedule and augmentation.
        constants: Floor and mean of the features, which the augmentation inserts.
        subset: Words per clip for the head over sets; None: softmax.
        steps: Steps per epoch.
        seed: Seed of the augmentation.
        dataset: Features and labels in device memory; None: the batches contain them.
        fused: Whether blocks are fused where the backend can; the benchmark compares both.
        teacher: Gives the targets of a student; None: the labels are the targets.
    """
    plain = network.model
    for layer in batch_norms(plain):
        layer.momentum = statistics_momentum(training.epochs * steps)
    words = plain.output_shape[-1]
    if dataset is None:
        decibels = keras.Input(plain.input_shape[1:], dtype="float16", name="decibels")
        labels = keras.Input((words,), dtype="float32", name="labels")
        inputs = {"decibels": decibels, "labels": labels}
    else:
        rows = keras.Input((), dtype="int32", name="rows")
        inputs = {"rows": rows}
        decibels, labels = dataset(rows)
    changed, labels = augment(decibels, labels, training.augment, constants, seed)
    if teacher is not None:
        labels = teacher(changed, labels)
    to_scores = (
        FusedNetwork(network)
        if fused and can_fuse(network)
        else keras.Model(plain.input, network.scores.output)
    )
    scores = to_scores(ops.cast(changed, "float16"))
    model = keras.Model(inputs, Loss(subset)(scores, labels))
    optimizer = build_optimizer(training, steps)
    if training.precision == "float16":  # gradients would underflow
        optimizer = keras.optimizers.LossScaleOptimizer(optimizer)
    model.compile(optimizer=optimizer, steps_per_execution=training.steps_per_call)
    model.optimizer.build(model.trainable_variables)
    return Learner(plain, model, training.average_epochs > 0, training.tail_epochs)
