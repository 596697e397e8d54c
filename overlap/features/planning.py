"""Features for clips of any rate and length, with the proportions of the known task.

The known task has clips of 1 s at 16 kHz: windows of 12.5 to 100 ms, a frame every 10 ms, Fourier
transforms of the next power of two.
"""

import math
from typing import Final

from overlap.config import FeatureConfig, Resolution
from overlap.features.kernel.constants import LARGEST, SMALLEST

WINDOWS_MS: Final = (12.5, 25.0, 50.0, 100.0)
HOP_MS: Final = 10.0
RATES_HZ: Final = (1000, 384_000)
LONGEST_SECONDS: Final = 60.0
"""Bounds of the settings."""
FEWEST_FRAMES, MOST_FRAMES = 64, 256
"""Frames of a clip; the pooling of the networks needs the first, and the second bounds their cost
for long clips."""


def plan_features(rate_hz: int, seconds: float) -> FeatureConfig:
    """Return features for clips of a rate and length.

    Windows have the lengths of the known task, but no more samples than the kernel transforms. The
    distance of two frames is `HOP_MS` unless the clip would have too few or too many of them. In
    clips of more than 3.2 s the shortest windows therefore do not overlap.

    Args:
        rate_hz: Sampling rate of the clips, Hz; limited to `RATES_HZ`.
        seconds: Length of the clips, s; limited to `LONGEST_SECONDS`.

    Examples:
        >>> plan_features(16000, 1.0) == FeatureConfig()
        True
        >>> [resolution.n_fft for resolution in plan_features(48000, 3.0).resolutions]
        [1024, 2048, 4096, 4096]
    """
    rate_hz, seconds = min(max(rate_hz, RATES_HZ[0]), RATES_HZ[1]), min(seconds, LONGEST_SECONDS)
    samples = round(rate_hz * seconds)
    usual = round(rate_hz * HOP_MS / 1000)
    hop = min(max(usual, math.ceil(samples / (MOST_FRAMES - 1))), samples // (FEWEST_FRAMES - 1))
    windows = [min(round(rate_hz * ms / 1000), LARGEST) for ms in WINDOWS_MS]
    resolutions = {
        Resolution(n_fft=max(SMALLEST, 1 << (window - 1).bit_length()), win_length=window)
        for window in windows
    }
    return FeatureConfig(
        sample_rate=rate_hz,
        clip_seconds=seconds,
        hop_length=max(1, hop),
        resolutions=tuple(sorted(resolutions, key=lambda one: one.win_length)),
    )


def section_as_toml(features: FeatureConfig, comment: str) -> str:
    """Return the planned settings as a section of a configuration file in TOML.

    Args:
        features: As `plan_features` returns them.
        comment: One line that precedes the section.
    """
    rows = [
        f"  {{ n_fft = {one.n_fft}, win_length = {one.win_length} }},"
        for one in features.resolutions
    ]
    lines = (
        f"# {comment}",
        "[features]",
        f"sample_rate = {features.sample_rate}",
        f"clip_seconds = {features.clip_seconds}",
        f"hop_length = {features.hop_length}",
        "resolutions = [",
        *rows,
        "]",
    )
    return "\n".join(lines) + "\n"
