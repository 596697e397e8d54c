"""From sound files to batches of decibels in memory: read, decode, repair, kernel."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import Clip
from overlap.catalog.inspection import decode_content, read_ahead
from overlap.config import FeatureConfig
from overlap.errors import AudioError
from overlap.features.compute import compute_features
from overlap.features.extract import GROUP
from overlap.io.location import Location

BATCH_CLIPS = 256
"""Clips per batch, at most."""
BATCH_BYTES = 64e6
"""Decibels per batch, at most: longer clips make smaller batches. Two are held at once."""

Decode = Callable[[NDArray[np.float32]], Clip]
"""Puts the samples of a clip into (samples,) float32; raises `AudioError` where it cannot."""
OnDecoded = Callable[[int, Clip | AudioError], None]
"""Is told of every file, by its place: the clip, or why there is none."""


@dataclass(frozen=True, eq=False)
class Batch:
    """Usable clips."""

    places: NDArray[np.int64]
    """(clips,): which of the files they are, ascending."""
    decibels: NDArray[np.float16]
    """(batch, mel, frame, resolution): the first `len(places)` are theirs, the rest is zero. Every
    batch has the same shape, so that a network is compiled once."""


def batch_clips(features: FeatureConfig, files: int) -> int:
    """Clips of a batch."""
    most = int(BATCH_BYTES / features.clip_bytes)
    return max(1, min(BATCH_CLIPS, most, files))


def batches(
    data: Location, files: tuple[str, ...], features: FeatureConfig, heard: OnDecoded
) -> Iterator[Batch]:
    """Decibels of the usable clips among some files, in their order."""
    wanted = features.clip_format
    with closing(read_ahead(data, files, wanted)) as contents:
        clips = (partial(decode_content, content, wanted) for content in contents)
        yield from clip_batches(clips, batch_clips(features, len(files)), features, heard)


def clip_batches(
    clips: Iterable[Decode], size: int, features: FeatureConfig, heard: OnDecoded
) -> Iterator[Batch]:
    """Decibels of the usable ones among some clips, in their order.

    Args:
        clips: Each puts its samples where it is told.
        size: Clips of a batch.
        features: The features.
        heard: Is told of every clip.
    """
    samples = np.empty((GROUP, features.clip_samples), np.float32)
    places: list[int] = []
    decibels = np.zeros((size, *features.shape), np.float16)
    waiting = 0

    def compute() -> None:
        nonlocal waiting
        end = len(places)
        compute_features(samples[:waiting], features, decibels[end - waiting : end])
        waiting = 0

    for place, decode in enumerate(clips):
        try:
            clip = decode(samples[waiting])
        except AudioError as error:
            heard(place, error)
            continue
        heard(place, clip)
        places.append(place)
        waiting += 1
        if waiting == GROUP or len(places) == size:
            compute()
        if len(places) == size:
            yield Batch(np.array(places), decibels)
            places, decibels = [], np.zeros_like(decibels)
    if places:
        compute()
        yield Batch(np.array(places), decibels)
