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

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from overlap.config import NetworkConfig, Stage
from overlap.features import Normalisation
from overlap.training.layers import Normalise
from overlap.training.subset import SubsetShares

Tensor = Any  # of whichever backend Keras runs on
INITIALISER = "he_normal"
SCORES = "words"
"""Name of the layer that outputs one score per word."""
EPSILON = 1e-7
"""Keras's default for the smallest probability in a logarithm."""
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


def build_network(
    config: NetworkConfig,
    shape: tuple[int, int, int],
    words: int,
    constants: Normalisation,
    subset: int | None = None,
) -> keras.Model:
    """Build the untrained network of one member.

    Args:
        config: Stages, width and dropout.
        shape: (mel, frame, resolution) of a clip's features.
        words: Number of words.
        constants: Floor, mean and std of the features.
        subset: Words per clip for the head over sets; None: softmax.

    Returns:
        A model that maps (clips, mel, frame, resolution) float16 decibels to (clips, words) float32
        probabilities that sum to 1.
    """
    decibels = keras.Input(shape, dtype="float16", name="decibels")
    x = Normalise.of(constants)(decibels)
    if config.input_pool != (1, 1):
        x = keras.layers.AveragePooling2D(pool_size=config.input_pool)(x)
    for stage in config.stages:
        x = _residual_stage(x, stage, config.width, config.dropout)
    x = keras.layers.Flatten()(x)
    x = _head(x, config.dense, config.dropout)
    scores = keras.layers.Dense(
        words, kernel_initializer=INITIALISER, dtype="float32", name=SCORES
    )(x)
    shares = (
        keras.layers.Softmax(dtype="float32", name="shares")
        if subset is None
        else SubsetShares(subset, dtype="float32", name="shares")
    )
    return keras.Model(decibels, shares(scores), name="overlap")


def _residual_stage(x: Tensor, stage: Stage, width: float, dropout: float) -> Tensor:
    filters = max(4, round(stage.filters * width))
    convolve = _plain if stage.kind == "plain" else _bottleneck
    x = kept = keras.layers.BatchNormalization()(convolve(x, filters))
    x = _mish(x)
    x = _mish(keras.layers.BatchNormalization()(convolve(x, filters)))
    x = keras.layers.BatchNormalization()(convolve(x, filters))
    x = _mish(keras.layers.Add()([x, kept]))
    x = keras.layers.AveragePooling2D(pool_size=(2, 2))(x)
    return keras.layers.Dropout(dropout)(x)


def _plain(x: Tensor, filters: int) -> Tensor:
    return _conv(filters, 3)(x)


def _bottleneck(x: Tensor, filters: int) -> Tensor:
    inner = filters // 4
    return _conv(filters, 1)(_conv(inner, 3)(_conv(inner, 1)(x)))


def _conv(filters: int, size: int) -> keras.layers.Layer:
    return keras.layers.Conv2D(filters, size, padding="same", kernel_initializer=INITIALISER)


def _head(x: Tensor, units: int, dropout: float) -> Tensor:
    x = kept = keras.layers.BatchNormalization()(_dense(units)(x))
    x = keras.layers.Dropout(dropout)(_mish(x))
    x = keras.layers.BatchNormalization()(_dense(units)(x))
    x = _mish(keras.layers.Add()([x, kept]))
    return keras.layers.Dropout(dropout)(x)


def _dense(units: int) -> keras.layers.Layer:
    return keras.layers.Dense(units, kernel_initializer=INITIALISER)


def _mish(x: Tensor) -> Tensor:
    return keras.layers.Activation("mish")(x)
