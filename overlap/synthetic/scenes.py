"""Recordings of any length with real words at known times over noise, minute by minute.

A minute depends on (seed, number of the minute) only. Words do not cross minutes, so that a
recording of hours is written as a stream.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import soundfile
from numpy.typing import NDArray

from overlap.config import AudioFormat
from overlap.synthetic.mixtures import WORD_RMS
from overlap.synthetic.recordings import load_recording
from overlap.synthetic.speakers import Pool

MINUTE_SECONDS: Final = 60
"""Length of a part that is generated at once, s."""
NOISE_RMS: Final = (0.001, 0.006)
"""Range of the noise's root mean square, which is drawn per minute; full scale is 1.0."""
NOISE_SLOPE: Final = (0.0, 1.0)
"""Range of the exponent with which the power of the noise falls with the frequency: 0 is white,
1 pink."""
LOWEST_HZ: Final = 50.0
"""Frequency below which the noise rises no further."""
GAIN_DB: Final = 5.0
"""Largest gain or attenuation of a word, dB."""
EDGE_SECONDS: Final = 0.1
"""Part of a word's recording before and after the word; it fades in and out."""
PEAK: Final = 0.99
"""Limit of the samples."""


@dataclass(frozen=True)
class PlacedWord:
    """A word in a recording."""

    word: str
    start: float
    """Start of the spoken part, s."""
    end: float
    """End of the spoken part, s."""


@dataclass(frozen=True)
class SceneConfig:
    """Parameters of a recording."""

    words: tuple[str, ...]
    """The words, in the order of the pool."""
    pool: Pool
    """The recordings of words."""
    every_seconds: float
    """Mean time from the start of a word to that of the next, s; words do not overlap."""
    seed: int = 0
    sample_rate: int = 16000
    """Sampling rate, Hz."""


def minute(config: SceneConfig, number: int) -> tuple[NDArray[np.int16], tuple[PlacedWord, ...]]:
    """Return a minute of a recording.

    Args:
        config: The recording.
        number: Number of the minute, from 0.

    Returns:
        (samples,) int16, and the words with times from the start of the minute.
    """
    random = np.random.default_rng((config.seed, number))
    rate = config.sample_rate
    samples = _noise(random, MINUTE_SECONDS * rate, rate)
    placed, at = [], random.uniform(0.2, 1.2)
    while True:
        index = int(random.integers(len(config.words)))
        speakers = config.pool.recordings[index]
        _, files = speakers[random.integers(len(speakers))]
        word, before, after = _word(files[random.integers(len(files))], rate, random)
        first = round(at * rate)
        if first + len(word) > len(samples):
            break
        samples[first : first + len(word)] += word
        start, end = (first + before) / rate, (first + len(word) - after) / rate
        placed.append(PlacedWord(config.words[index], start, end))
        length = len(word) / rate
        at += length + random.exponential(max(0.05, config.every_seconds - length))
    limited = np.clip(samples, -PEAK, PEAK)
    return np.round(limited * 32767).astype(np.int16), tuple(placed)


def scene_minutes(
    config: SceneConfig, minutes: int
) -> Iterator[tuple[NDArray[np.int16], tuple[PlacedWord, ...]]]:
    """Yield the minutes of a recording, with times from its start."""
    for number in range(minutes):
        samples, placed = minute(config, number)
        offset = number * MINUTE_SECONDS
        moved = tuple(PlacedWord(p.word, p.start + offset, p.end + offset) for p in placed)
        yield samples, moved


def write_scene(path: Path, config: SceneConfig, minutes: int) -> tuple[PlacedWord, ...]:
    """Write a recording as a stream, in the format of its suffix; return its words."""
    words: list[PlacedWord] = []
    with soundfile.SoundFile(path, "w", config.sample_rate, 1, subtype="PCM_16") as file:
        for samples, placed in scene_minutes(config, minutes):
            file.write(samples)
            words += placed
    return tuple(words)


def words_in(placed: Sequence[PlacedWord], start: float, length: float) -> tuple[str, ...]:
    """Return the distinct words of which half, or which fill half, of a window is in it.

    Args:
        placed: The words of a recording.
        start: Start of the window, s.
        length: Length of the window, s.
    """
    found = []
    for one in placed:
        overlap = min(one.end, start + length) - max(one.start, start)
        if overlap >= 0.5 * min(length, one.end - one.start):
            found.append(one.word)
    return tuple(dict.fromkeys(found))


def _noise(random: np.random.Generator, samples: int, rate: int) -> NDArray[np.float64]:
    spectrum = np.fft.rfft(random.standard_normal(samples))
    frequency = np.maximum(np.fft.rfftfreq(samples, 1 / rate), LOWEST_HZ)
    noise = np.fft.irfft(spectrum * frequency ** (-random.uniform(*NOISE_SLOPE) / 2), samples)
    level = np.exp(random.uniform(*np.log(NOISE_RMS)))
    return noise * (level / np.sqrt(np.mean(noise**2)))  # type: ignore[no-any-return]


def _word(
    file: str, rate: int, random: np.random.Generator
) -> tuple[NDArray[np.float64], int, int]:
    """Return a word with its edges, and the number of samples before and after it."""
    recording = load_recording(file, AudioFormat(rate, rate))
    edge = round(EDGE_SECONDS * rate)
    before, after = min(edge, recording.before), min(edge, recording.after)
    part = recording.samples[recording.before - before :]
    part = part[: len(part) - (recording.after - after)].copy()
    if before:
        part[:before] *= np.linspace(0, 1, before, endpoint=False)
    if after:
        part[-after:] *= np.linspace(0, 1, after, endpoint=False)[::-1]
    gain = 10 ** (random.uniform(-GAIN_DB, GAIN_DB) / 20)
    return part * (gain * WORD_RMS / np.sqrt(np.mean(recording.samples**2))), before, after
