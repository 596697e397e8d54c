"""The first and the last layer of an exported ensemble: features, and pooling of the members.

Importing this module registers every layer that an exported file refers to, so that
`keras.saving.load_model` can read it. The layers use Keras operations only: they run on every
backend and convert to plain ONNX operations.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import overlap.training.layers
import overlap.training.subset  # noqa: F401  like the line above, registers layers of the members
from overlap.config import FeatureConfig, Resolution
from overlap.features.reference import AMIN, mel_filters
from overlap.metrics.divergence import SMALLEST
from overlap.training.keras_import import keras

Tensor = Any  # depends on the backend of Keras
GEOMETRIC = 2e-4
"""Exponents closer to 0 than this count as 0: the formula would lose its precision in float32."""


@keras.saving.register_keras_serializable(package="overlap")
class Decibels(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Computes the decibels that networks are trained on, rounded to float16 like the store.

    The arithmetic is that of `overlap.features.reference` in float32. One convolution computes the
    window and the Fourier transform: the samples are split into blocks of one hop, a frame spans
    several adjacent blocks, and every frequency bin has a cosine and a sine filter under the Hann
    window. The zeros around a window that is shorter than the transform are omitted: they change
    only the phase of the spectrum, of which the power is independent.

    The filters (17 MB with the default features) are computed from the configuration, not saved.

    Args:
        features: A `FeatureConfig`, or the result of its `model_dump`.
    """

    def __init__(self, features: FeatureConfig | dict[str, Any], **kwargs: object) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        self.features = (
            features if isinstance(features, FeatureConfig) else FeatureConfig.from_stored(features)
        )
        self._filters: list[tuple[NDArray[np.float32], NDArray[np.float32]]] = []

    def build(self, _input_shape: tuple[int | None, ...]) -> None:
        """Compute the filters."""
        self._filters = [
            (
                fourier_filters(resolution, self.features.hop_length),
                np.ascontiguousarray(mel_filters(self.features, resolution).T),
            )
            for resolution in self.features.resolutions
        ]
        self.built = True

    def call(self, samples: Tensor) -> Tensor:
        """Convert (clips, samples) float32 to (clips, mel, frame, resolution) float16, dB."""
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
        """Convert (clips, samples) to the power of mel bands, (clips, frame, mel) float32."""
        hop, taps = self.features.hop_length, len(fourier)
        blocks = self.features.frames - 1 + taps
        before = resolution.samples_before_centre
        after = max(0, blocks * hop - before - self.features.clip_samples)
        padded = keras.ops.pad(samples, ((0, 0), (before, after)))[:, : blocks * hop]
        spectrum = keras.ops.conv(
            keras.ops.reshape(padded, (-1, blocks, hop)),
            keras.ops.convert_to_tensor(fourier),
            padding="valid",
            data_format="channels_last",
        )
        real, imaginary = keras.ops.split(spectrum, 2, axis=-1)
        power = keras.ops.square(real) + keras.ops.square(imaginary)
        return keras.ops.matmul(power, keras.ops.convert_to_tensor(mel))

    def compute_output_spec(self, samples: Tensor) -> keras.KerasTensor:
        """Return the shape and dtype of the result, which is always float16."""
        return keras.KerasTensor((samples.shape[0], *self.features.shape), dtype="float16")

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild the layer."""
        return {**super().get_config(), "features": self.features.model_dump(mode="json")}


def fourier_filters(resolution: Resolution, hop: int) -> NDArray[np.float32]:
    """Return Hann-windowed cosines, then sines: (blocks, hop, 2 * bins) float32.

    A window that is not a multiple of the hop is padded with zeros.
    """
    sample = np.arange(resolution.win_length)
    bins = np.arange(resolution.n_fft // 2 + 1)
    window = 0.5 - 0.5 * np.cos(2 * np.pi * sample / resolution.win_length)
    # The phase is reduced modulo a full turn in integers: cos of a large float loses precision.
    phase = 2 * np.pi / resolution.n_fft * (np.outer(sample, bins) % resolution.n_fft)
    blocks = -(-resolution.win_length // hop)
    filters = np.zeros((blocks * hop, 2 * len(bins)), np.float32)
    filters[: len(sample), : len(bins)] = window[:, None] * np.cos(phase)
    filters[: len(sample), len(bins) :] = window[:, None] * np.sin(phase)
    return filters.reshape(blocks, hop, -1)


@keras.saving.register_keras_serializable(package="overlap")
class PoolShares(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Pools the probabilities of the members: a weighted power mean, then a temperature.

        (sum_m w_m * p_m^a)^(1/a), to the power 1/T, normalised over words

    The defaults are the plain mean. An exponent of 0 is the geometric mean.

    Args:
        weights: One per member; they are normalised to sum to 1.
        exponent: a.
        temperature: T.
        words: Names of the columns, stored for readers of the file.
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

    def call(self, probabilities: Sequence[Tensor]) -> Tensor:
        """Pool (clips, words) float32 of every member; each row of the result sums to 1."""
        total = sum(self.weights_by_member)
        weighted = zip(self.weights_by_member, probabilities, strict=True)
        pooled = sum(weight / total * self._raised(member) for weight, member in weighted if weight)
        if self.exponent == 0:
            pooled = keras.ops.exp(pooled)
        elif self.exponent != 1:
            pooled = keras.ops.power(pooled, 1 / self.exponent)
        if self.temperature != 1:
            pooled = keras.ops.power(keras.ops.maximum(pooled, SMALLEST), 1 / self.temperature)
        return pooled / keras.ops.sum(pooled, axis=-1, keepdims=True)

    def _raised(self, member: Tensor) -> Tensor:
        if self.exponent == 1:
            return member
        member = keras.ops.maximum(member, SMALLEST)
        if self.exponent == 0:
            return keras.ops.log(member)
        return keras.ops.power(member, self.exponent)

    def compute_output_shape(
        self, input_shape: Sequence[tuple[int | None, ...]]
    ) -> tuple[int | None, ...]:
        """Return the shape of one member's probabilities."""
        return tuple(input_shape[0])

    def get_config(self) -> dict[str, Any]:
        """Return the arguments that rebuild the layer."""
        own = {
            "weights": self.weights_by_member,
            "exponent": self.exponent,
            "temperature": self.temperature,
            "words": self.words,
        }
        return {**super().get_config(), **own}
