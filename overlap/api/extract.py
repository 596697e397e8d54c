"""Features of sounds at hand, as an array."""

import numpy as np
from numpy.typing import NDArray

from overlap.api.sounds import Given, gathered
from overlap.audio.decode import Clip
from overlap.catalog.problems import Problems
from overlap.config import FeatureConfig
from overlap.errors import AudioError


def extract_features(
    sounds: Given, config: FeatureConfig | None = None, *, rate_hz: int | None = None
) -> NDArray[np.float16]:
    """Log-mel features of some sounds, as a run computes them.

    Args:
        sounds: Samples, (samples,) of one clip or (clips, samples), int16 or floating with full
            scale 1.0; or the path or URL of a sound file, of a folder of them, or several files.
            A folder's files come in the order of their names, `clip_2` before `clip_10`.
        config: The features; None: the defaults, four spectrograms of one second at 16 kHz.
        rate_hz: Rate of samples; None: the one of `config`. Files say theirs.

    Returns:
        (clips, mel, frame, resolution) float16: decibels relative to 1.0.

    Raises:
        DataError: nothing is there, or a sound cannot be used; all of these are named.
        UserError: `sounds` are none.

    Examples:
        >>> extract_features(np.random.default_rng(0).normal(size=16000) / 10).shape
        (1, 64, 101, 4)
    """
    features, clips, problems = config or FeatureConfig(), gathered(sounds, rate_hz), Problems()

    def heard(place: int, clip: Clip | AudioError) -> None:
        if isinstance(clip, AudioError):
            problems.add(f"{clips.names[place]}: {clip}", code=clip.code)

    values = np.empty((len(clips), *features.shape), np.float16)
    for batch in clips.batches(features, heard):
        values[batch.places] = batch.decibels[: len(batch.places)]
    problems.raise_if_fatal("sounds")
    return values
