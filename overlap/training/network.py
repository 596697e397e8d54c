"""The network: residual stages over the resolutions as channels, and a residual dense head.

    raw decibels -> Normalise -> (input pooling) -> stages -> flatten -> head -> scores -> shares

    stage   conv, BN -> keep r -> mish -> conv, BN, mish -> conv, BN -> add r -> mish
            -> 2x2 average pool -> dropout
    head    dense, BN -> keep r -> mish, dropout -> dense, BN -> add r -> mish, dropout

In a plain stage a conv is 3x3 with f filters; in a bottleneck stage it is 1x1, 3x3, 1x1 with
f/4, f/4, f filters without activations in between. The shares are the softmax of the scores, or
follow from a distribution over sets of exactly k words (`overlap.training.subset`). With the
default configuration and 30 words this is the reference solution's network, with 1,914,686
parameters.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from overlap.config import NetworkConfig, Stage
from overlap.features import Normalisation
from overlap.training.keras_import import keras
from overlap.training.layers import Normalise
from overlap.training.subset import SubsetShares

Tensor = Any  # of whichever backend Keras runs on
INITIALISER = "he_normal"
SCORES = "words"
"""Name of the layer that outputs one score per word."""
EPSILON = 1e-7
"""Keras's default for the smallest probability in a logarithm."""
MOMENTUM, FORGOTTEN = 0.99, 4.0
"""Keras's momentum of moving batch statistics; negative logarithm of the share of their initial
values that a shorter training leaves in them: 1.8 %."""
POLICIES = {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}


@contextmanager
def precision(name: str) -> Iterator[None]:
    """Build layers that compute in this precision; their weights are float32.

    The other defaults of Keras are fixed too: they could come from a file of the user.
    """
    before = keras.config.dtype_policy(), keras.config.floatx(), keras.config.image_data_format()
    set_keras_defaults(POLICIES[name])
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before[0])
        keras.config.set_floatx(before[1])
        keras.config.set_image_data_format(before[2])


def set_keras_defaults(policy: str = "float32") -> None:
    """Set every default of Keras that shapes a network or its training.

    Args:
        policy: The default precision of layers, a name of a policy of Keras.
    """
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(EPSILON)
    keras.config.set_dtype_policy(policy)


@dataclass(frozen=True, eq=False)
class Block:
    """Linear layers with their normalisation and activation: a third of a stage, half of a head.

    The first block of a stage or head keeps its normalised output; the last one adds it.
    """

    linear: tuple[keras.layers.Layer, ...]
    """Convolutions, or a dense layer."""
    norm: keras.layers.BatchNormalization
    activation: keras.layers.Layer
    keeps: bool = False
    """Whether the normalised output is kept for the block that adds it."""
    add: keras.layers.Layer | None = None
    """Adds the kept output to the normalised one; None where nothing is added."""
    after: tuple[keras.layers.Layer, ...] = ()
    """Pooling and dropout."""

    def __call__(self, x: Tensor, kept: Tensor) -> tuple[Tensor, Tensor]:
        """Return the output, and what is kept after the block, of an input and what is kept."""
        x = self.norm(in_turn(self.linear, x))
        kept = x if self.keeps else kept
        x = x if self.add is None else self.add([x, kept])
        return in_turn(self.after, self.activation(x)), kept


@dataclass(frozen=True, eq=False)
class Network:
    """The network of one member, as a model and as the layers that it applies in turn."""

    model: keras.Model
    """Maps (clips, mel, frame, resolution) float16 decibels to (clips, words) probabilities."""
    before: tuple[keras.layers.Layer, ...]
    """Standardisation and pooling of the decibels."""
    stages: tuple[Block, ...]
    flatten: keras.layers.Layer
    head: tuple[Block, ...]
    scores: keras.layers.Layer
    """Returns one score per word."""


def statistics_momentum(steps: int) -> float:
    """Return the momentum of the moving batch statistics in a training of so many steps.

    Moving statistics start at a mean of 0 and a variance of 1, of which momentum^steps is left at
    the end. With Keras's momentum, 32 steps leave 72 %: the trained weights are then used with
    statistics that belong to no clips, and predictions are worse than the trivial one.

    Args:
        steps: Steps of the whole training.

    Examples:
        >>> statistics_momentum(4000), statistics_momentum(32)
        (0.99, 0.875)
    """
    return min(MOMENTUM, max(0.0, 1 - FORGOTTEN / max(1, steps)))


def in_turn(layers: Iterable[keras.layers.Layer], x: Tensor) -> Tensor:
    """Apply layers one after another."""
    for layer in layers:
        x = layer(x)
    return x


def build_network(
    config: NetworkConfig,
    shape: tuple[int, int, int],
    words: int,
    constants: Normalisation,
    subset: int | None = None,
) -> Network:
    """Build the untrained network of one member.

    Args:
        config: Stages, width and dropout.
        shape: (mel, frame, resolution) of a clip's features.
        words: Number of words.
        constants: Floor, mean and std of the features.
        subset: Words per clip for the head over sets; None: softmax.

    Returns:
        The network; its probabilities are float32 and sum to 1.
    """
    # The order in which layers are constructed determines the seeds of their initial weights.
    before: tuple[keras.layers.Layer, ...] = (Normalise.of(constants),)
    if config.input_pool != (1, 1):
        before += (keras.layers.AveragePooling2D(pool_size=config.input_pool),)
    stages = tuple(
        block
        for stage in config.stages
        for block in _residual_stage(stage, config.width, config.dropout)
    )
    flatten = keras.layers.Flatten()
    head = _head(config.dense, config.dropout)
    scores = keras.layers.Dense(words, kernel_initializer=INITIALISER, dtype="float32", name=SCORES)
    shares = (
        keras.layers.Softmax(dtype="float32", name="shares")
        if subset is None
        else SubsetShares(subset, dtype="float32", name="shares")
    )
    decibels = keras.Input(shape, dtype="float16", name="decibels")
    x = kept = in_turn(before, decibels)
    for block in stages:
        x, kept = block(x, kept)
    x = flatten(x)
    for block in head:
        x, kept = block(x, kept)
    model = keras.Model(decibels, shares(scores(x)), name="overlap")
    return Network(model, before, stages, flatten, head, scores)


def _residual_stage(stage: Stage, width: float, dropout: float) -> tuple[Block, Block, Block]:
    filters = max(4, round(stage.filters * width))
    convolutions = _plain if stage.kind == "plain" else _bottleneck
    norm = keras.layers.BatchNormalization
    return (
        Block(convolutions(filters), norm(), _mish(), keeps=True),
        Block(convolutions(filters), norm(), _mish()),
        Block(
            convolutions(filters), norm(), _mish(), add=keras.layers.Add(),
            after=(keras.layers.AveragePooling2D(pool_size=(2, 2)), keras.layers.Dropout(dropout)),
        ),
    )  # fmt: skip


def _plain(filters: int) -> tuple[keras.layers.Layer, ...]:
    return (_conv(filters, 3),)


def _bottleneck(filters: int) -> tuple[keras.layers.Layer, ...]:
    inner = filters // 4
    # Constructed from the last to the first, which gives members of all releases equal weights.
    last, middle, first = _conv(filters, 1), _conv(inner, 3), _conv(inner, 1)
    return first, middle, last


def _conv(filters: int, size: int) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, size, padding="same", kernel_initializer=INITIALISER)


def _head(units: int, dropout: float) -> tuple[Block, Block]:
    norm, drop = keras.layers.BatchNormalization, keras.layers.Dropout
    return (
        Block((_dense(units),), norm(), _mish(), keeps=True, after=(drop(dropout),)),
        Block((_dense(units),), norm(), _mish(), add=keras.layers.Add(), after=(drop(dropout),)),
    )


def _dense(units: int) -> keras.layers.Layer:
    return keras.layers.Dense(units, kernel_initializer=INITIALISER)


def _mish() -> keras.layers.Layer:
    return keras.layers.Activation("mish")
