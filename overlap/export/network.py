"""The network of an ensemble: samples -> decibels -> every member -> pooled probabilities."""

import json
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.export.layers import Decibels, PoolShares
from overlap.features.compute import compute_features
from overlap.training.keras_import import keras

NAME = "overlap-"
"""Prefix of the network's name; the version of the ensemble follows."""
COMPARISON_SIGNALS = 6
"""Number of signals that an exported network is compared on."""


def ensemble_network(
    record: EnsembleRecord, features: FeatureConfig, members: list[keras.Model]
) -> keras.Model:
    """Build the network of an ensemble from the networks of its members.

    Args:
        record: The ensemble.
        features: Features that the members were trained on.
        members: Networks from decibels to probabilities; this function renames them.

    Returns:
        A network from (clips, samples) float32, full scale 1.0, to (clips, words) float32.
    """
    samples = keras.Input((features.clip_samples,), dtype="float32", name="samples")
    decibels = Decibels(features, name="decibels")(samples)
    for number, member in enumerate(members, 1):
        member.name = f"member_{number}"  # names of layers are unique within a model
    probabilities = [member(decibels) for member in members]
    pool = record.fitted
    weights = pool.weights or [1.0] * len(members)
    pooled = PoolShares(
        weights, pool.exponent, pool.temperature, record.words, name="probabilities"
    )(probabilities)
    return keras.Model(samples, pooled, name=NAME + record.version)


def network_metadata(network: keras.Model) -> dict[str, str]:
    """Return the metadata of an exported network.

    Returns:
        version, words (JSON), rate_hz (Hz), clip_samples (samples of a clip).
    """
    features = network.get_layer("decibels").features
    return {
        "version": network.name.removeprefix(NAME),
        "words": json.dumps(network.get_layer("probabilities").words, ensure_ascii=False),
        "rate_hz": str(features.sample_rate),
        "clip_samples": str(features.clip_samples),
    }


def pipeline_probabilities(
    features: FeatureConfig,
    members: list[keras.Model],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    clips: NDArray[np.float32],
) -> NDArray[np.float64]:
    """Return the pipeline's predictions, (clips, words) float64, of (clips, samples) float32."""
    decibels = compute_features(clips, features)
    return pool(np.stack([member.predict(decibels, verbose=0) for member in members]))


def comparison_signals(features: FeatureConfig) -> NDArray[np.float32]:
    """Return the signals that an exported network and the pipeline are compared on.

    White noise, a chirp, clicks, an amplitude-modulated tone in noise, noise at the resolution of
    16 bits, and silence.

    Returns:
        (`COMPARISON_SIGNALS`, samples) float32.
    """
    random = np.random.default_rng(0)
    seconds = np.arange(features.clip_samples) / features.sample_rate
    noise = random.normal(size=(3, features.clip_samples))
    chirp = np.sin(2 * np.pi * features.sample_rate * seconds**2 / (5 * features.clip_seconds))
    clicks = np.zeros(features.clip_samples)
    clicks[:: max(1, features.clip_samples // 7)] = 0.9
    modulated = np.sin(2 * np.pi * 440 * seconds) * np.sin(2 * np.pi * 3 * seconds) ** 2
    signals = [0.1 * noise[0], 0.5 * chirp, clicks, 0.3 * modulated + 0.001 * noise[1]]
    signals += [noise[2] * 2**-15, np.zeros(features.clip_samples)]
    return np.stack(signals).astype(np.float32)
