"""The optimisers, and the learning rate over a training."""

import math
from collections.abc import Sequence
from typing import Any, Final

from overlap.config import TrainingConfig
from overlap.training.keras_import import keras, ops
from overlap.training.network import SCORES

Tensor = Any  # of whichever backend Keras runs on
MOMENTUM: Final = 0.95
"""Momentum of the gradients of kernels."""
ITERATION: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of a step towards the nearest orthogonal matrix: a x + (b x x' + c (x x')^2) x."""
ITERATIONS: Final = 5
RMS: Final = 0.2
"""Root mean square of an update per unit of the learning rate, about that of AdamW."""


def build_optimizer(training: TrainingConfig, steps: int) -> keras.optimizers.Optimizer:
    """Return the configured optimiser.

    Args:
        training: Optimiser, learning rate and schedule.
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
    options: dict[str, Any] = {}
    if training.average_epochs:
        momentum = 1 - 1 / max(1.0, training.average_epochs * steps)
        options = {"use_ema": True, "ema_momentum": momentum}
    if training.clip_norm:
        options["global_clipnorm"] = training.clip_norm
    if training.optimizer == "nadam":
        return keras.optimizers.Nadam(rate, **options)
    kinds = {"adamw": keras.optimizers.AdamW, "lion": keras.optimizers.Lion, "muon": Muon}
    optimizer = kinds[training.optimizer](rate, weight_decay=training.weight_decay, **options)
    # Only kernels decay: shrinking a bias or a scale would only bias the layer.
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


class Muon(keras.optimizers.AdamW):  # type: ignore[misc]  # keras publishes no types
    """Muon for the kernels of convolutions and dense layers, AdamW for everything else.

    The update of a kernel is the orthogonal matrix nearest to its momentum (Jordan et al., 2024),
    times 0.2 sqrt(max(rows, columns)), so that its size is that of AdamW's (Liu et al., 2025). The
    kernel of a convolution is flattened to (height * width * channels, filters). The kernel of the
    scores is an output layer and belongs to AdamW. Keras's own Muon leaves convolutions to AdamW.
    """

    def build(self, variables: Sequence[Any]) -> None:
        """Create the state of the variables."""
        super().build(variables)
        paths = [variable.path.split("/") for variable in variables]
        self._orthogonal = [path[-1] == "kernel" and SCORES not in path for path in paths]

    def update_step(self, gradient: Tensor, variable: Any, learning_rate: Tensor) -> None:  # noqa: ANN401  a variable of any backend
        """Update one variable."""
        place = self._get_variable_index(variable)
        if not self._orthogonal[place]:
            super().update_step(gradient, variable, learning_rate)
            return
        momentum = self._momentums[place]
        self.assign(momentum, MOMENTUM * momentum + gradient)
        columns = variable.shape[-1]
        rows = math.prod(variable.shape[:-1])
        ahead = ops.reshape(gradient + MOMENTUM * momentum, (rows, columns))
        scale = ops.cast(learning_rate, variable.dtype) * (RMS * math.sqrt(max(rows, columns)))
        self.assign_sub(variable, scale * ops.reshape(orthogonal(ahead), variable.shape))


def orthogonal(matrix: Tensor) -> Tensor:
    """Return nearly the orthogonal matrix nearest to a matrix; its singular values are 0.7 to 1.2.

    Args:
        matrix: (rows, columns) float32.
    """
    rows, columns = matrix.shape
    x = matrix / (ops.norm(matrix) + 1e-7)
    x = ops.transpose(x) if rows > columns else x
    first, second, third = ITERATION
    for _ in range(ITERATIONS):
        square = ops.matmul(x, ops.transpose(x))
        x = first * x + ops.matmul(second * square + third * ops.matmul(square, square), x)
    return ops.transpose(x) if rows > columns else x
