"""Extract the features of samples or sound files as an array."""

import numpy as np
from numpy.typing import NDArray

from overlap.api.sounds import SoundSource, current_rate, open_sounds
from overlap.audio.decode import Clip
from overlap.catalog.problems import Problems
from overlap.config import FeatureConfig
from overlap.errors import AudioError


def extract_features(
    sounds: SoundSource,
    config: FeatureConfig | None = None,
    *,
    sample_rate: int | None = None,
    rate_hz: int | None = None,
) -> NDArray[np.float16]:
    """Extract log-mel features of sounds, identical to those of a run.

    Args:
        sounds: Samples, (samples,) for one clip or (clips, samples), int16 or floating with full
            scale 1.0; or the path or URL of a sound file, of a folder, or several files. The files
            of a folder are in natural order: `clip_2` precedes `clip_10`.
        config: The features; None uses the defaults: four spectrograms of one second at 16 kHz.
        sample_rate: Rate of samples, Hz; None assumes that of `config`. Ignored for files, which
            contain their rate.
        rate_hz: Deprecated name of `sample_rate`.

    Returns:
        (clips, mel, frame, resolution) float16: decibels relative to 1.0.

    Raises:
        DataError: There are no sounds, or some are unusable; the message lists all of them.
        UserError: `sounds` has an unsupported type.

    Examples:
        >>> extract_features(np.random.default_rng(0).normal(size=16000) / 10).shape
        (1, 64, 101, 4)
    """
    clips = open_sounds(sounds, current_rate(sample_rate, rate_hz))
    features, problems = config or FeatureConfig(), Problems()

    def on_decoded(index: int, clip: Clip | AudioError) -> None:
        if isinstance(clip, AudioError):
            problems.add(f"{clips.names[index]}: {clip}", code=clip.code)

    values = np.empty((len(clips), *features.shape), np.float16)
    for batch in clips.batches(features, on_decoded):
        values[batch.indices] = batch.decibels[: len(batch.indices)]
    problems.raise_if_fatal("sounds")
    return values
