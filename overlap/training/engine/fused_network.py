"""The network as it trains: the same layers, with each block's normalisation and activation fused.

The layers own all variables, so that a saved network contains the layers of Keras only. The bias of
a linear layer in front of a batch normalisation changes nothing but the mean that the normalisation
subtracts. Training therefore omits it, adds it to the moving mean, and leaves it as it is.
"""

from collections.abc import Callable
from typing import Any

from overlap.training.device import on_accelerator
from overlap.training.keras_import import keras, ops
from overlap.training.network import Block, Network, in_turn

Tensor = Any  # of whichever backend Keras runs on


def can_fuse(network: Network) -> bool:
    """Return whether the backend has a fused operation for this network.

    JAX has one for every device and precision, TensorFlow one for processors and float32. Others
    train with the layers of Keras.

    Args:
        network: The network.
    """
    backend = keras.backend.backend()
    precise = network.head[0].norm.compute_dtype == "float32"
    return backend == "jax" or (backend == "tensorflow" and precise and not on_accelerator())


class FusedNetwork(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Maps decibels to scores; in training with fused blocks, otherwise like the network.

    Args:
        network: The network, whose layers and variables this layer shares.
    """

    def __init__(self, network: Network) -> None:
        super().__init__(autocast=False)
        # XLA cannot compile the loops that TensorFlow calls.
        self.supports_jit = keras.backend.backend() != "tensorflow"
        self.plain = keras.Model(network.model.input, network.scores.output)
        self.network = network
        self.fused_block = _fused_block()

    def call(self, decibels: Tensor, training: bool | None = None) -> Tensor:
        """Return (clips, words) float32 scores of (clips, mel, frame, resolution) decibels."""
        if not training:
            return self.plain(decibels, training=False)
        x = kept = in_turn(self.network.before, decibels)
        for block in self.network.stages:
            x, kept = self._apply(block, x, kept)
        x = self.network.flatten(x)
        for block in self.network.head:
            x, kept = self._apply(block, x, kept)
        return self.network.scores(x)

    def _apply(self, block: Block, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return what `block` returns, and update its moving statistics."""
        norm, last = block.norm, block.linear[-1]
        x = ops.cast(in_turn(block.linear[:-1], x), norm.compute_dtype)
        kernel = ops.cast(last.kernel, norm.compute_dtype)
        convolves = isinstance(last, keras.layers.Conv2D)
        x = last.convolution_op(x, kernel) if convolves else ops.matmul(x, kernel)
        y, z, mean, variance = self.fused_block(
            x,
            tuple(ops.cast(v, "float32") for v in (norm.gamma, norm.beta, last.bias)),
            None if block.add is None else kept,
            norm.epsilon,
            keeps=block.keeps,
        )
        for average, value in ((norm.moving_mean, mean), (norm.moving_variance, variance)):
            average.assign(average * norm.momentum + value * (1.0 - norm.momentum))
        return in_turn(block.after, y), z if block.keeps else kept


def _fused_block() -> Callable[..., tuple[Tensor, ...]]:
    """Return the operation of the backend, ready for the first step."""
    if keras.backend.backend() == "jax":
        from overlap.training.engine import fused_jax

        return fused_jax.fused_block
    from overlap.training.engine import block_arrays, fused_tensorflow

    block_arrays.compile_loops()
    return fused_tensorflow.fused_block
