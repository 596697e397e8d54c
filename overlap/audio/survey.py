"""What sound files have in common: rates, channels and lengths, from a sample of their headers."""

import math
import random
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import soundfile

from overlap.audio.decode import file_in_memory
from overlap.io.formatting import counted
from overlap.io.location import Location

EXAMINED = 1000
"""Files that are examined. A property of one file in 200 is missed in 0.7 % of the cases."""
FILES_AT_ONCE = 16
"""Files in memory at a time."""
LARGEST_BYTES = 256 << 20
"""Size above which a file is no clip."""
NAMED = 4
"""Different values that are shown."""
LONG = 0.99
"""Fraction of the files that a clip contains completely; longer ones are trimmed."""


@dataclass(frozen=True)
class Sound:
    """The header of a file."""

    rate_hz: int
    channels: int
    seconds: float


@dataclass(frozen=True)
class Survey:
    """The headers of a sample of files."""

    files: int
    """Files of the data set."""
    sounds: tuple[Sound, ...]
    """Those that were examined and are readable; at least one."""
    unreadable: int
    """Examined files without a readable header."""

    @property
    def rate_hz(self) -> int:
        """The most frequent sampling rate, Hz; of equally frequent ones the lowest."""
        counts = Counter(sound.rate_hz for sound in self.sounds)
        return min(counts, key=lambda rate: (-counts[rate], rate))

    @property
    def seconds(self) -> float:
        """The length that all but one in 100 files do not exceed, s, in whole milliseconds."""
        lengths = sorted(sound.seconds for sound in self.sounds)
        kept = lengths[math.ceil(LONG * len(lengths)) - 1]
        return math.ceil(1000 * kept - 0.5) / 1000

    def __str__(self) -> str:
        shortest, *_, longest = sorted([sound.seconds for sound in self.sounds] * 2)
        parts = (
            f"{len(self.sounds)} of {counted(self.files, 'clip')} examined",
            _shares(f"{sound.rate_hz} Hz" for sound in self.sounds),
            _shares(counted(sound.channels, "channel") for sound in self.sounds),
            f"{shortest:.3g} to {longest:.3g} s" if shortest < longest else f"{longest:.3g} s",
        )
        return "; ".join(parts) + (f"; {self.unreadable} unreadable" if self.unreadable else "")


def _shares(values: Iterable[str]) -> str:
    found = Counter(values).most_common()
    if len(found) == 1:
        return found[0][0]
    shown = ", ".join(f"{value} ({count})" for value, count in found[:NAMED])
    return shown + ", …" * (len(found) > NAMED)


def survey(folder: Location, files: Sequence[str], at_most: int = EXAMINED) -> Survey:
    """Read the headers of a random sample of files; the sample is always the same.

    Args:
        folder: The folder.
        files: Paths below it.
        at_most: Size of the sample.
    """
    chosen = sorted(random.Random(0).sample(files, min(at_most, len(files))))  # noqa: S311
    found = [*_sounds(folder, chosen)]
    sounds = tuple(sound for sound in found if sound is not None)
    return Survey(len(files), sounds, len(found) - len(sounds))


def _sounds(folder: Location, files: Sequence[str]) -> Iterator[Sound | None]:
    for start in range(0, len(files), FILES_AT_ONCE):
        for content in folder.read_many(files[start : start + FILES_AT_ONCE], LARGEST_BYTES):
            yield None if isinstance(content, OSError) else _sound(content)


def _sound(content: bytes) -> Sound | None:
    try:
        with file_in_memory(content) as path, soundfile.SoundFile(path) as file:
            rate, channels, frames = file.samplerate, file.channels, file.frames
    except (soundfile.SoundFileError, RuntimeError, ValueError):
        return None
    return Sound(rate, channels, frames / rate) if rate > 0 and frames > 0 else None
