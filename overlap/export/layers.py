"""The two ends of an exported ensemble: features from samples, and the members' average.

Importing this module registers every layer that such a file names, so `keras.saving.load_model`
can read it. Only Keras's own operations are used: the layers run on every backend, and become
plain operations in ONNX.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

import overlap.training.layers
import overlap.training.subset  # noqa: F401  with the line before: registers the members' layers
from overlap.config import FeatureConfig, Resolution
from overlap.features.reference import AMIN, mel_filters
from overlap.metrics.divergence import SMALLEST

Tensor = Any  # of whichever backend Keras runs on
GEOMETRIC = 2e-4
"""Nearer to 0 than this an exponent is 0: the formula would lose its digits in float32."""


@keras.saving.register_keras_serializable(package="overlap")
class Decibels(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Samples to the decibels that networks are trained on, rounded to float16 as the store is.

    Its arithmetic is `overlap.features.reference`'s in float32. The window and the Fourier
    transform are one convolution: the samples are cut into pieces of a hop, a frame is some
    neighbouring pieces, and every bin has a filter of a cosine and one of a sine under the Hann
    window. Zeros around a window shorter than the transform change only the phase of the
    spectrum, which the power forgets, so they are left out.

    The filters (17 MB with the default features) are made from the configuration, not saved.

    Args:
        features: A `FeatureConfig`, or what its `model_dump` gives.
    """

    def __init__(self, features: FeatureConfig | dict[str, Any], **kwargs: object) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.features = (
            features if isinstance(features, FeatureConfig) else FeatureConfig.from_stored(features)
        )
        self._filters: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def build(self, _input_shape: tuple[int | None, ...]) -> None:
        """Make the filters."""
        self._filters = [
            (
                fourier_filters(resolution, self.features.hop_length),
                np.ascontiguousarray(mel_filters(self.features, resolution).T),
            )
            for resolution in self.features.resolutions
        ]
        self.built = True

    def call(self, samples: Tensor) -> Tensor:
        """(clips, samples) float32 to (clips, mel, frame, resolution) float16, dB."""
        mels = [
            self._mel_power(samples, resolution, *filters)
            for resolution, filters in zip(self.features.resolutions, self._filters, strict=True)
        ]
        power = keras.ops.transpose(keras.ops.stack(mels, axis=-1), (0, 2, 1, 3))
        nepers = keras.ops.log(keras.ops.maximum(power, AMIN))
        return keras.ops.cast(nepers * (10 / math.log(10)), "float16")

    def _mel_power(
        self,
        samples: Tensor,
        resolution: Resolution,
        fourier: NDArray[np.float32],
        mel: NDArray[np.float32],
    ) -> Tensor:
        """(clips, samples) to (clips, frame, mel) float32."""
        hop, taps = self.features.hop_length, len(fourier)
        pieces = self.features.frames - 1 + taps
        before = resolution.samples_before_centre
        after = max(0, pieces * hop - before - self.features.clip_samples)
        padded = keras.ops.pad(samples, ((0, 0), (before, after)))[:, : pieces * hop]
        spectrum = keras.ops.conv(
            keras.ops.reshape(padded, (-1, pieces, hop)),
            keras.ops.convert_to_tensor(fourier),
            padding="valid",
            data_format="channels_last",
        )
        real, imaginary = keras.ops.split(spectrum, 2, axis=-1)
        power = keras.ops.square(real) + keras.ops.square(imaginary)
        return keras.ops.matmul(power, keras.ops.convert_to_tensor(mel))

    def compute_output_spec(self, samples: Tensor) -> keras.KerasTensor:
        """Float16 whatever the layer computes in."""
        return keras.KerasTensor((samples.shape[0], *self.features.shape), dtype="float16")

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        return {**super().get_config(), "features": self.features.model_dump(mode="json")}


def fourier_filters(resolution: Resolution, hop: int) -> NDArray[np.float32]:
    """(pieces, hop, 2 * bins) float32: Hann window times cosines, then times sines.

    A window that is no whole number of hops ends in zeros.
    """
    sample = np.arange(resolution.win_length)
    bins = np.arange(resolution.n_fft // 2 + 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * sample / resolution.win_length)
    # The phase modulo a turn, in whole numbers: cos of a large float has fewer digits.
    phase = 2 * np.pi / resolution.n_fft * (np.outer(sample, bins) % resolution.n_fft)
    pieces = -(-resolution.win_length // hop)
    filters = np.zeros((pieces * hop, 2 * len(bins)), np.float32)
    filters[: len(sample), : len(bins)] = window[:, None] * np.cos(phase)
    filters[: len(sample), len(bins) :] = window[:, None] * np.sin(phase)
    return filters.reshape(pieces, hop, -1)


@keras.saving.register_keras_serializable(package="overlap")
class PoolShares(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """The members' probabilities as one: a weighted power mean, then a temperature.

        (sum_m w_m * p_m^a)^(1/a), to the power 1/T, divided by its sum over words

    The defaults are the plain mean. An exponent of 0 is the geometric mean.

    Args:
        weights: One per member; they are divided by their sum.
        exponent: a.
        temperature: T.
        words: Names of the columns, kept for whoever opens the file.
    """

    def __init__(
        self,
        weights: Sequence[float],
        exponent: float = 1.0,
        temperature: float = 1.0,
        words: Sequence[str] = (),
        **kwargs: object,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.weights_by_member, self.words = [*map(float, weights)], [*words]
        self.exponent = 0.0 if abs(exponent) < GEOMETRIC else float(exponent)
        self.temperature = float(temperature)

    def call(self, shares: Sequence[Tensor]) -> Tensor:
        """(clips, words) float32 of every member to (clips, words) float32 that sum to 1."""
        total = sum(self.weights_by_member)
        weighted = zip(self.weights_by_member, shares, strict=True)
        pooled = sum(weight / total * self._raised(share) for weight, share in weighted if weight)
        if self.exponent == 0:
            pooled = keras.ops.exp(pooled)
        elif self.exponent != 1:
            pooled = keras.ops.power(pooled, 1 / self.exponent)
        if self.temperature != 1:
            pooled = keras.ops.power(keras.ops.maximum(pooled, SMALLEST), 1 / self.temperature)
        return pooled / keras.ops.sum(pooled, axis=-1, keepdims=True)

    def _raised(self, share: Tensor) -> Tensor:
        if self.exponent == 1:
            return share
        share = keras.ops.maximum(share, SMALLEST)
        return keras.ops.log(share) if self.exponent == 0 else keras.ops.power(share, self.exponent)

    def compute_output_shape(
        self, input_shape: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        """The shape of one member's."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """What rebuilds the layer."""
        own = {
            "weights": self.weights_by_member,
            "exponent": self.exponent,
            "temperature": self.temperature,
            "words": self.words,
        }
        return {**super().get_config(), **own}
