"""Predicts the windows of recordings batch by batch, in one stream over all recordings.

A batch may contain windows of several recordings, so that many short ones cost no more than one
long one. A thread reads the next batch while the networks predict one: two batches are in memory.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.audio.stream import RecordingStream, open_recording
from overlap.config import FeatureConfig
from overlap.errors import AudioError
from overlap.features.compute import compute_features
from overlap.features.extract import GROUP
from overlap.io.location import Location
from overlap.prediction.batches import batch_clips
from overlap.prediction.worker import predict_decibels
from overlap.recordings.windows import Window, cut_windows
from overlap.system.prefetch import Prefetcher
from overlap.training.inference.store import Predictor

MANY: Final = 1 << 30
"""More windows than a batch has."""


@dataclass(frozen=True)
class WindowPredictor:
    """An ensemble that predicts windows."""

    features: FeatureConfig
    """The features of its networks."""
    networks: Sequence[Predictor]
    """The members' networks, from decibels to probabilities."""
    pool: Callable[[NDArray[np.float64]], NDArray[np.float64]]
    """(members, clips, words) to (clips, words)."""
    words: tuple[str, ...]
    """The words."""


@dataclass(frozen=True, eq=False)
class PredictedWindow:
    """The prediction of a window."""

    recording: int
    """Index of the recording."""
    start: float
    """Start, s."""
    end: float
    """End of its sound, s."""
    probabilities: NDArray[np.float64] | None
    """(words,) pooled probabilities; None for an unusable window."""
    disagreement: float
    """Disagreement of the members, nats; NaN for an unusable window."""
    problem: str
    """Why the window is unusable; empty otherwise."""


@dataclass(frozen=True)
class RecordingEnd:
    """The end of a recording; follows its windows."""

    recording: int
    """Index of the recording."""
    seconds: float
    """Length of the sound that was read, s."""
    repairs: tuple[str, ...]
    """What was done to it: downmixed, resampled, padded."""
    problem: str
    """Why it is unusable or incomplete; empty otherwise."""


@dataclass(frozen=True, eq=False)
class _Read:
    """A window that was read."""

    recording: int
    window: Window


@dataclass(frozen=True, eq=False)
class _Batch:
    """What was read in order, and the decibels of the usable windows in it."""

    items: list[_Read | RecordingEnd]
    decibels: NDArray[np.float16]
    """(batch, mel, frame, resolution) dB; the first rows are usable windows, the others zero."""


def predict_windows(
    recordings: Sequence[Location],
    ensemble: WindowPredictor,
    hop: int,
    on_read: Callable[[int, float], None] = lambda _recording, _part: None,
) -> Iterator[PredictedWindow | RecordingEnd]:
    """Yield the windows of recordings in order; the end of a recording follows its windows.

    Args:
        recordings: The files. One that cannot be read has no windows, and an end with the reason.
        ensemble: What predicts.
        hop: Samples from the start of a window to that of the next.
        on_read: Receives the index of a recording and the part of it that was read, from 0 to 1.
    """
    size = batch_clips(ensemble.features, MANY)
    rate = ensemble.features.sample_rate
    read = _read_all(recordings, ensemble.features, hop, on_read)
    with Prefetcher(_batches(read, ensemble.features, size)) as batches:
        for batch in batches:
            usable = sum(_is_usable(item) for item in batch.items)
            pooled, spread = (
                predict_decibels(ensemble.networks, ensemble.pool, batch.decibels, usable)
                if usable
                else (np.empty((0, len(ensemble.words))), np.empty(0))
            )
            row = 0
            for item in batch.items:
                if isinstance(item, RecordingEnd):
                    yield item
                    continue
                window, error = item.window, item.window.samples
                times = item.recording, window.start / rate, window.stop / rate
                if isinstance(error, AudioError):
                    yield PredictedWindow(*times, None, np.nan, str(error))
                    continue
                yield PredictedWindow(*times, pooled[row], float(spread[row]), "")
                row += 1


def _is_usable(item: _Read | RecordingEnd) -> bool:
    return isinstance(item, _Read) and not isinstance(item.window.samples, AudioError)


def _batches(
    items: Iterator[_Read | RecordingEnd], features: FeatureConfig, size: int
) -> Iterator[_Batch]:
    """Group what is read into batches of at most `size` windows."""
    waiting: list[_Read | RecordingEnd] = []
    samples = np.empty((size, features.clip_samples), np.float32)
    usable = 0
    with closing(items):  # type: ignore[type-var]
        for item in items:
            waiting.append(item)
            if isinstance(item, _Read) and not isinstance(item.window.samples, AudioError):
                samples[usable] = item.window.samples
                usable += 1
            if len(waiting) == size:
                yield _batch(waiting, samples[:usable], features, size)
                waiting, usable = [], 0
        if waiting:
            # Networks are compiled per shape: powers of two keep the number of shapes small.
            last = min(size, 1 << max(0, usable - 1).bit_length())
            yield _batch(waiting, samples[:usable], features, last)


def _batch(
    items: list[_Read | RecordingEnd],
    samples: NDArray[np.float32],
    features: FeatureConfig,
    size: int,
) -> _Batch:
    decibels = np.zeros((size, *features.shape), np.float16)
    for start in range(0, len(samples), GROUP):
        some = samples[start : start + GROUP]
        compute_features(some, features, decibels[start : start + len(some)])
    return _Batch(items, decibels)


def _read_all(
    recordings: Sequence[Location],
    features: FeatureConfig,
    hop: int,
    on_read: Callable[[int, float], None],
) -> Iterator[_Read | RecordingEnd]:
    for index, recording in enumerate(recordings):
        try:
            with open_recording(recording, features.sample_rate) as stream:
                yield from _read_one(index, stream, features, hop, on_read)
        except AudioError as error:
            yield RecordingEnd(index, 0.0, (), str(error))
        on_read(index, 1.0)


def _read_one(
    index: int,
    stream: RecordingStream,
    features: FeatureConfig,
    hop: int,
    on_read: Callable[[int, float], None],
) -> Iterator[_Read | RecordingEnd]:
    short = False
    for window in cut_windows(stream.blocks(), features.clip_samples, hop):
        short = window.stop - window.start < features.clip_samples
        yield _Read(index, window)
        on_read(index, stream.frames_read / max(stream.frames or stream.frames_read, 1))
    repairs = (*stream.repairs, "padded") if short else stream.repairs
    yield RecordingEnd(index, stream.frames_read / stream.rate, repairs, stream.damage)
