"""Batch normalisation, addition and mish as one operation of TensorFlow, for processors.

TensorFlow's own operations read and write an array for each of them. Here compiled loops compute
the statistics in one pass and everything else in a second one; the gradient keeps the input of the
normalisation and recomputes the rest. The arrays are TensorFlow's, without a copy.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import tensorflow as tf

from overlap.training.engine.block_arrays import BlockInput, backward, forward
from overlap.training.engine.pieces import Floats

Tensors = tuple[Any, ...]


def fused_block(
    x: Any,  # noqa: ANN401  a tensor, here and below: TensorFlow publishes no types
    parameters: tuple[Any, Any, Any],
    added: Any | None,  # noqa: ANN401
    epsilon: float,
    *,
    keeps: bool,
) -> Tensors:
    """Return mish(normalised + added) with the statistics of the batch.

    Args:
        x: (clips, …, channels) float32 output of a linear layer without its bias.
        parameters: gamma, beta and the bias of the linear layer, (channels,) float32.
        added: What is added to the normalised values, in the shape of x; None: nothing.
        epsilon: Added to the variance.
        keeps: Whether the normalised values are returned too.

    Returns:
        The activation, the normalised values (or the activation again), both in the shape of x, and
        mean and variance, (channels,). The mean includes the bias, which the normalisation removes
        from everything else; statistics have no gradient.
    """
    operation = _operation(epsilon, added is not None, keeps)
    y, *z, mean, variance = operation(x, *parameters, *(() if added is None else (added,)))
    statistics = tf.stop_gradient(mean + parameters[-1]), tf.stop_gradient(variance)
    return (y, *(z or [y]), *statistics)


@cache
def _operation(epsilon: float, adds: bool, keeps: bool) -> Callable[..., Tensors]:
    """Return the operation for these constants."""

    def compute(x: Floats, gamma: Floats, beta: Floats, *added: Floats) -> tuple[Floats, ...]:
        with np.errstate(all="ignore"):  # weights that are not finite are reported by the epoch
            block = BlockInput(x, gamma, beta, added[0] if adds else None, epsilon)
            return forward(block, keeps=keeps)

    def compute_gradient(*arrays: Floats) -> tuple[Floats, ...]:
        x, gamma, beta, mean, variance, dy, *others = arrays
        dz = others.pop(0) if keeps else None
        added = others.pop(0) if adds else None
        with np.errstate(all="ignore"):
            return backward(BlockInput(x, gamma, beta, added, epsilon), mean, variance, dy, dz)

    @tf.custom_gradient  # type: ignore[untyped-decorator]
    def operation(x: Any, gamma: Any, beta: Any, bias: Any, *added: Any) -> Any:  # noqa: ANN401
        full, small = x.shape, gamma.shape
        shapes = (full, full, small, small) if keeps else (full, small, small)
        results = _call(compute, (x, gamma, beta, *added), shapes)
        mean, variance = results[-2:]

        def gradients(*at_results: Any) -> Any:  # noqa: ANN401
            wanted = at_results[: 2 if keeps else 1]
            given = (x, gamma, beta, mean, variance, *wanted, *added)
            shapes = (full, small, small, full) if adds else (full, small, small)
            dx, d_gamma, d_beta, *d_added = _call(compute_gradient, given, shapes)
            return (dx, d_gamma, d_beta, tf.zeros_like(bias), *d_added)

        return results, gradients

    return operation  # type: ignore[no-any-return]


def _call(
    function: Callable[..., tuple[Floats, ...]], tensors: Tensors, shapes: tuple[Any, ...]
) -> Tensors:
    """Apply a function of NumPy arrays to tensors; the shapes are those of its results."""
    results = tf.numpy_function(function, tensors, [tf.float32] * len(shapes), stateful=False)
    for result, shape in zip(results, shapes, strict=True):
        result.set_shape(shape)
    return tuple(results)
