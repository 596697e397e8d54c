"""The network of a whole ensemble: samples -> decibels -> every member -> their average."""

import json
from collections.abc import Callable

import keras
import numpy as np
from numpy.typing import NDArray

from overlap.config import FeatureConfig
from overlap.ensemble.registry import EnsembleRecord
from overlap.export.layers import Decibels, PoolShares
from overlap.features.compute import compute_features

NAME = "overlap-"
"""Begins the name of the network; the ensemble's version follows."""
CHECKED_CLIPS = 6


def ensemble_network(
    record: EnsembleRecord, features: FeatureConfig, members: list[keras.Model]
) -> keras.Model:
    """Put the members' networks between features and average.

    Args:
        record: The ensemble; gives version and words.
        features: What the members were trained on.
        members: Their networks, from decibels to probabilities; they are renamed.

    Returns:
        A model from (clips, samples) float32, full scale 1.0, to (clips, words) float32.
    """
    samples = keras.Input((features.clip_samples,), dtype="float32", name="samples")
    decibels = Decibels(features, name="decibels")(samples)
    for number, member in enumerate(members, 1):
        member.name = f"member_{number}"  # names of layers differ within a model
    shares = [member(decibels) for member in members]
    pool = record.fitted
    weights = pool.weights or [1.0] * len(members)
    pooled = PoolShares(
        weights, pool.exponent, pool.temperature, record.words, name="probabilities"
    )(shares)
    return keras.Model(samples, pooled, name=NAME + record.version)


def about(network: keras.Model) -> dict[str, str]:
    """What an exported network says of itself: version, words (JSON), rate, samples of a clip."""
    features = network.get_layer("decibels").features
    return {
        "version": network.name.removeprefix(NAME),
        "words": json.dumps(network.get_layer("probabilities").words, ensure_ascii=False),
        "rate_hz": str(features.sample_rate),
        "clip_samples": str(features.clip_samples),
    }


def pipeline_shares(
    features: FeatureConfig,
    members: list[keras.Model],
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]],
    clips: NDArray[np.float32],
) -> NDArray[np.float64]:
    """(clips, words) float64: what the pipeline makes of (clips, samples) float32."""
    decibels = compute_features(clips, features)
    return pool(np.stack([member.predict(decibels, verbose=0) for member in members]))


def check_clips(features: FeatureConfig) -> NDArray[np.float32]:
    """(`CHECKED_CLIPS`, samples) float32: sounds that an exported network is compared on.

    White noise, a rising tone, clicks, a tone that comes and goes in noise, the softest noise of
    16 bits, and silence.
    """
    random = np.random.default_rng(0)
    seconds = np.arange(features.clip_samples) / features.sample_rate
    noise = random.normal(size=(3, features.clip_samples))
    rising = np.sin(2 * np.pi * features.sample_rate * seconds**2 / (5 * features.clip_seconds))
    pulses = np.zeros(features.clip_samples)
    pulses[:: max(1, features.clip_samples // 7)] = 0.9
    beating = np.sin(2 * np.pi * 440 * seconds) * np.sin(2 * np.pi * 3 * seconds) ** 2
    sounds = [0.1 * noise[0], 0.5 * rising, pulses, 0.3 * beating + 0.001 * noise[1]]
    sounds += [noise[2] * 2**-15, np.zeros(features.clip_samples)]
    return np.stack(sounds).astype(np.float32)
