"""The picture of a clip that a user tries: waveform and spectrograms, as the champion hears it."""

import numpy as np

from overlap.audio.decode import Clip
from overlap.config import FeatureConfig
from overlap.features.compute import compute_features
from overlap.reporting.clip_inspection import InspectedClip
from overlap.reporting.clip_picture import draw_clip
from overlap.reporting.figures import png


def picture_of(clip: Clip, config: FeatureConfig) -> bytes:
    """Draw waveform and spectrograms of a clip as PNG.

    Args:
        clip: The decoded clip.
        config: The features of the champion.
    """
    decibels = compute_features(clip.samples[None], config)[0].astype(np.float32)
    shown = InspectedClip(
        name="the clip", file="", split=None, config=config, samples=clip.samples,
        repairs=clip.repairs, decibels=decibels, labels=None, prediction=None,
        no_prediction_reason="the page shows it",
    )  # fmt: skip
    return png(draw_clip(shown))
