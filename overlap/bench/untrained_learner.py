"""Untrained learners and labels of the known task's size: speed does not depend on the weights."""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from overlap.config import NetworkConfig, TrainingConfig
from overlap.features import Normalisation

if TYPE_CHECKING:  # imports Keras, whose backend the caller may still have to select
    from overlap.training.learner import Learner

WORDS: Final = 30
WORDS_PER_CLIP: Final = 4


def constants(channels: int) -> Normalisation:
    """Return constants of the normalisation, the same in every channel, dB."""
    return Normalisation((-80.0,) * channels, (-40.0,) * channels, (15.0,) * channels)


def random_labels(
    random: np.random.Generator, clips: int, words: int = WORDS
) -> NDArray[np.float64]:
    """Return (clips, words) float64 labels, each with `WORDS_PER_CLIP` words in equal shares."""
    labels = np.zeros((clips, words))
    chosen = np.argsort(random.random(labels.shape), axis=1)[:, :WORDS_PER_CLIP]
    np.put_along_axis(labels, chosen, 1 / WORDS_PER_CLIP, axis=1)
    return labels


def untrained_learner(
    config: NetworkConfig,
    training: TrainingConfig,
    shape: tuple[int, int, int],
    *,
    steps: int,
    seed: int = 0,
    fused: bool = True,
) -> "Learner":
    """Build a learner; equal seeds give equal weights.

    Args:
        config: The network.
        training: The training.
        shape: (mel, frame, resolution) of its input.
        steps: Steps per epoch.
        seed: Seed of the weights and of the augmentation.
        fused: Whether blocks are fused where the backend can.
    """
    from overlap.training.keras_import import keras
    from overlap.training.learner import build_learner
    from overlap.training.network import build_network, precision

    known = constants(shape[-1])
    subset = None if config.head == "softmax" else WORDS_PER_CLIP
    keras.utils.set_random_seed(seed)
    with precision(training.precision):
        network = build_network(config, shape, WORDS, known, subset)
        return build_learner(
            network, training, known, subset=subset, steps=steps, seed=seed, fused=fused
        )
