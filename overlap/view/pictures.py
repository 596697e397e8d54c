"""Pictures of single clips, as the champion hears them: waveform and spectrograms."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import Clip
from overlap.config import FeatureConfig
from overlap.features.compute import compute_features
from overlap.reporting.clip_inspection import InspectedClip
from overlap.reporting.clip_picture import draw_clip
from overlap.reporting.plots.encoding import png
from overlap.view.prediction.batcher import BusyError

WAITING_PICTURES: Final = 16
"""Pictures that may wait; each takes about half a second."""


class Drawer:
    """Draws in one thread, because Matplotlib's settings belong to the process."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="draw")
        self._waiting = 0

    async def draw(self, picture: Callable[[], bytes]) -> bytes:
        """Return a picture as PNG.

        Raises:
            BusyError: Too many pictures wait.
        """
        if self._waiting >= WAITING_PICTURES:
            raise BusyError("too many pictures wait to be drawn; try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, picture)
        finally:
            self._waiting -= 1

    def stop(self) -> None:
        """End the thread; pictures that wait are not drawn."""
        self._thread.shutdown(wait=False, cancel_futures=True)


def picture_of(clip: Clip, config: FeatureConfig, name: str = "the clip") -> bytes:
    """Draw waveform and spectrograms of a clip as PNG.

    Args:
        clip: The decoded clip.
        config: The features to draw.
        name: The clip's name in the title.
    """
    decibels = compute_features(clip.samples[None], config)[0]
    return _drawn(name, config, clip.samples, clip.repairs, decibels)


def picture_of_features(decibels: NDArray[np.float16], config: FeatureConfig, name: str) -> bytes:
    """Draw stored spectrograms as PNG, for a clip whose sound is not readable.

    Args:
        decibels: (mel, frame, resolution) decibels.
        config: The features.
        name: The clip's name in the title.
    """
    return _drawn(name, config, np.zeros(0, np.float32), (), decibels)


def _drawn(
    name: str,
    config: FeatureConfig,
    samples: NDArray[np.float32],
    repairs: tuple[str, ...],
    decibels: NDArray[np.generic],
) -> bytes:
    shown = InspectedClip(
        name=name, file="", split=None, config=config, samples=samples, repairs=repairs,
        decibels=decibels.astype(np.float32), labels=None, prediction=None,
        no_prediction_reason="the page shows it",
    )  # fmt: skip
    return png(draw_clip(shown))
