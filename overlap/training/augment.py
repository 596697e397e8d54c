"""Augmentation layers, which change clips at random during training.

The layers act on raw decibels on the device, before the network, and are not part of the saved
network. Each has its own random generator, whose state is in the checkpoint, so that a resumed
training sees the same clips as an uninterrupted one.
"""

import math
from typing import Any

import numpy as np

from overlap.config import AugmentConfig
from overlap.features import Normalisation
from overlap.training.keras_import import keras, ops

Tensor = Any  # of whichever backend Keras runs on


class Mix(keras.layers.Layer):  # type: ignore[misc]  # keras publishes no types
    """Mixes some of the clips with another clip of the batch: powers and labels add.

    The power of the sum of two sounds is the sum of their powers, averaged over phases. The mixed
    decibels are therefore 10 log10(w 10^(a/10) + (1 - w) 10^(b/10)) with w between the smallest
    weight and 1; the label is w p + (1 - w) q. The other clip is the previous one in the batch,
    whose order is random.

    Args:
        fraction: Fraction of the clips to mix.
        seed: Seed of the layer's generator.
        least: Smallest weight of the clip itself.
    """

    def __init__(self, fraction: float, seed: int, least: float = 0.5) -> None:
        super().__init__(dtype="float32")
        self.fraction, self.generator = fraction, keras.random.SeedGenerator(seed)
        self.least = least

    def call(self, decibels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mixed (clips, mel, frame, resolution) dB and (clips, words) labels."""
        clips = ops.shape(decibels)[0]
        weight = keras.random.uniform((clips,), self.least, 1.0, seed=self.generator)
        chosen = keras.random.uniform((clips,), seed=self.generator) < self.fraction
        weight = ops.where(chosen, weight, 1.0)
        other, other_labels = ops.roll(decibels, 1, axis=0), ops.roll(labels, 1, axis=0)
        decade = 10 / math.log(10)
        tiny = 1e-30  # keeps the logarithm finite where the other clip has weight 0
        a = decibels + decade * ops.log(weight)[:, None, None, None]
        b = other + decade * ops.log(ops.maximum(1 - weight, tiny))[:, None, None, None]
        louder = ops.maximum(a, b)
        mixed = louder + decade * ops.log1p(ops.exp(-ops.abs(a - b) / decade))
        share = weight[:, None]
        return mixed, share * labels + (1 - share) * other_labels


class Shift(keras.layers.Layer):  # type: ignore[misc]
    """Shifts each clip in time by a whole number of frames; silence fills the gap.

    Args:
        frames: Largest shift in either direction, frames.
        silence_db: Level of the silence, dB, one per resolution.
        seed: Seed of the layer's generator.
    """

    def __init__(self, frames: int, silence_db: tuple[float, ...], seed: int) -> None:
        super().__init__(dtype="float32")
        self.frames, self.silence_db = frames, silence_db
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, decibels: Tensor) -> Tensor:
        """Return the shifted (clips, mel, frame, resolution) dB."""
        clips, frames = ops.shape(decibels)[0], decibels.shape[2]
        shift = keras.random.randint(
            (clips, 1), -self.frames, self.frames + 1, dtype="int32", seed=self.generator
        )
        source = ops.arange(frames, dtype="int32")[None, :] - shift
        inside = ops.logical_and(source >= 0, source < frames)[:, None, :, None]
        index = ops.clip(source, 0, frames - 1)[:, None, :, None]
        moved = ops.take_along_axis(decibels, index, axis=2)
        return ops.where(inside, moved, ops.convert_to_tensor(self.silence_db, "float32"))


class Mask(keras.layers.Layer):  # type: ignore[misc]
    """Replaces bands of mels and of frames by the mean (SpecAugment, Park et al., 2019).

    Args:
        config: Number and largest widths of the masks.
        mean_db: Level inside a mask, dB, one per resolution.
        seed: Seed of the layer's generator.
    """

    def __init__(self, config: AugmentConfig, mean_db: tuple[float, ...], seed: int) -> None:
        super().__init__(dtype="float32")
        self.config, self.mean_db = config, mean_db
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, decibels: Tensor) -> Tensor:
        """Return the masked (clips, mel, frame, resolution) dB."""
        mels = self._bands(decibels, 1, self.config.mask_mels)
        frames = self._bands(decibels, 2, self.config.mask_frames)
        masked = ops.logical_or(mels[:, :, None, None], frames[:, None, :, None])
        return ops.where(masked, ops.convert_to_tensor(self.mean_db, "float32"), decibels)

    def _bands(self, decibels: Tensor, axis: int, widest: int) -> Tensor:
        """Return (clips, length) bool: the positions along an axis that the masks cover."""
        length, shape = decibels.shape[axis], (ops.shape(decibels)[0], self.config.masks, 1)
        width = keras.random.uniform(shape, 0, min(widest, length), seed=self.generator)
        start = keras.random.uniform(shape, seed=self.generator) * (length - width)
        at = ops.arange(length, dtype="float32")
        return ops.any(ops.logical_and(at >= start, at + 1 <= start + width), axis=1)


FILTER_KNOTS = 5
"""Random gains of a filter, at equal distances over the mel bands; linear in between."""


class Filter(keras.layers.Layer):  # type: ignore[misc]
    """Changes the level of each clip, and filters it: adds decibels that depend on the mel band.

    All resolutions and frames of a clip change by the same gain and the same filter, as by another
    microphone or distance.

    Args:
        gain_db: Largest change of the level, dB.
        filter_db: Largest gain or attenuation of the filter in a band, dB.
        seed: Seed of the layer's generator.
    """

    def __init__(self, gain_db: float, filter_db: float, seed: int) -> None:
        super().__init__(dtype="float32")
        self.gain_db, self.filter_db = gain_db, filter_db
        self.generator = keras.random.SeedGenerator(seed)

    def call(self, decibels: Tensor) -> Tensor:
        """Return the filtered (clips, mel, frame, resolution) dB."""
        clips, bands = ops.shape(decibels)[0], decibels.shape[1]
        gain = keras.random.uniform((clips, 1), -1.0, 1.0, seed=self.generator) * self.gain_db
        knots = keras.random.uniform((clips, FILTER_KNOTS), -1.0, 1.0, seed=self.generator)
        at = np.linspace(0, FILTER_KNOTS - 1, bands)
        # Row k: the share of knot k in every band, a triangle of width two.
        shares = np.maximum(0, 1 - np.abs(at - np.arange(FILTER_KNOTS)[:, None]))
        curve = ops.matmul(knots, ops.convert_to_tensor(shares, "float32")) * self.filter_db
        return decibels + (gain + curve)[:, :, None, None]


class Warp(keras.layers.Layer):  # type: ignore[misc]
    """Warps the time of each clip smoothly: one half becomes slower, the other faster.

    Frame f comes from f + a sin(pi f / (frames - 1)), interpolated linearly. The speed is therefore
    1 + a pi / (frames - 1) cos(pi f / (frames - 1)), and both ends stay. A similar warp of
    spectrograms, with one random fixed point, is in SpecAugment (Park et al., 2019).

    Args:
        largest: Largest change of the speed, a fraction below 1; a is uniform in both directions.
        seed: Seed of the layer's generator.
    """

    def __init__(self, largest: float, seed: int) -> None:
        super().__init__(dtype="float32")
        self.largest, self.generator = largest, keras.random.SeedGenerator(seed)

    def call(self, decibels: Tensor) -> Tensor:
        """Return the warped (clips, mel, frame, resolution) dB."""
        clips, last = ops.shape(decibels)[0], decibels.shape[2] - 1
        change = keras.random.uniform((clips, 1), -1.0, 1.0, seed=self.generator) * self.largest
        at = np.arange(last + 1)
        bend = ops.convert_to_tensor(np.sin(np.pi * at / last) * last / np.pi, "float32")
        frames = ops.arange(last + 1, dtype="float32")
        source = ops.clip(frames + change * bend, 0.0, float(last))
        # The share of every frame in every other: a product takes a fifth of the time of `take`.
        shares = ops.maximum(0.0, 1 - ops.abs(source[:, :, None] - frames))
        return ops.einsum("ngf,nmfr->nmgr", shares, decibels)


def augment(
    decibels: Tensor,
    labels: Tensor,
    config: AugmentConfig,
    constants: Normalisation,
    seed: int,
) -> tuple[Tensor, Tensor]:
    """Apply the configured augmentations.

    Args:
        decibels: (clips, mel, frame, resolution) dB.
        labels: (clips, words).
        config: The augmentations.
        constants: Floor and mean of the features, for silence and masks.
        seed: Base of the layers' seeds.

    Returns:
        The decibels, float32, and the labels.
    """
    decibels = ops.cast(decibels, "float32")
    if config.mix:
        decibels, labels = Mix(config.mix, seed + 1, config.mix_weight)(decibels, labels)
    if config.gain_db or config.filter_db:
        decibels = Filter(config.gain_db, config.filter_db, seed + 4)(decibels)
    if config.warp:
        decibels = Warp(config.warp, seed + 5)(decibels)
    if config.shift_frames:
        decibels = Shift(config.shift_frames, constants.floor_db, seed + 2)(decibels)
    if config.masks:
        decibels = Mask(config, constants.mean_db, seed + 3)(decibels)
    return decibels, labels
