"""Computes batches of decibels in memory from audio files: read, decode, repair, transform."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from overlap.audio.clips import decode_content
from overlap.audio.decode import Clip
from overlap.catalog.read_ahead import read_ahead
from overlap.config import FeatureConfig
from overlap.errors import AudioError
from overlap.features.compute import compute_features
from overlap.features.extract import GROUP
from overlap.io.location import Location

BATCH_CLIPS = 256
"""Most clips per batch."""
BATCH_DECIBEL_BYTES = 64e6
"""Most bytes of decibels per batch: longer clips make smaller batches. Two batches are held."""

Decode = Callable[[NDArray[np.float32]], Clip]
"""Writes the samples of a clip into (samples,) float32, or raises `AudioError`."""
OnDecoded = Callable[[int, Clip | AudioError], None]
"""Receives the index of every file with its clip, or with the error that makes it unusable."""


@dataclass(frozen=True, eq=False)
class Batch:
    """A batch of usable clips."""

    indices: NDArray[np.int64]
    """(clips,) indices of the files, ascending."""
    decibels: NDArray[np.float16]
    """(batch, mel, frame, resolution) dB: the first `len(indices)` rows; the others are zero. Every
    batch has the same shape, so that a network is compiled once."""


def batch_clips(features: FeatureConfig, files: int) -> int:
    """Return the number of clips per batch."""
    most = int(BATCH_DECIBEL_BYTES / (2 * np.prod(features.shape)))
    return max(1, min(BATCH_CLIPS, most, files))


def batches(
    data: Location, files: tuple[str, ...], features: FeatureConfig, on_decoded: OnDecoded
) -> Iterator[Batch]:
    """Yield the decibels of the usable clips among some files, in the order of the files.

    Args:
        data: Folder of the files.
        files: Addresses of the files below the folder.
        features: The features to compute.
        on_decoded: Receives every file's clip or error.
    """
    wanted = features.clip_format
    with closing(read_ahead(data, files, wanted)) as contents:
        clips = (partial(decode_content, content, wanted) for content in contents)
        yield from clip_batches(clips, batch_clips(features, len(files)), features, on_decoded)


def clip_batches(
    clips: Iterable[Decode], size: int, features: FeatureConfig, on_decoded: OnDecoded
) -> Iterator[Batch]:
    """Yield the decibels of the usable clips, in order.

    Args:
        clips: Each writes its samples into the given array.
        size: Clips per batch.
        features: The features to compute.
        on_decoded: Receives every clip or error.
    """
    samples = np.empty((GROUP, features.clip_samples), np.float32)
    indices: list[int] = []
    decibels = np.zeros((size, *features.shape), np.float16)
    waiting = 0

    def compute() -> None:
        nonlocal waiting
        end = len(indices)
        compute_features(samples[:waiting], features, decibels[end - waiting : end])
        waiting = 0

    for index, decode in enumerate(clips):
        try:
            clip = decode(samples[waiting])
        except AudioError as error:
            on_decoded(index, error)
            continue
        on_decoded(index, clip)
        indices.append(index)
        waiting += 1
        if waiting == GROUP or len(indices) == size:
            compute()
        if len(indices) == size:
            yield Batch(np.array(indices), decibels)
            indices, decibels = [], np.zeros_like(decibels)
    if indices:
        compute()
        yield Batch(np.array(indices), decibels)
