"""Benchmark of the input path: sound files per CPU-second, from the page cache to samples."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from overlap.audio.decode import decode
from overlap.audio.wav_pcm16 import parse_pcm16
from overlap.catalog.read_ahead import LOCAL_GROUP_FILES
from overlap.config import AudioFormat
from overlap.io.bulk_read import read_local

FILES = 2000
ROUNDS = 7

Reader = Callable[[str, list[str], AudioFormat], None]
"""Reads files of a folder, given by name."""


@dataclass(frozen=True)
class ReadingRow:
    """Result of one reader of sound files."""

    name: str
    files_per_cpu_second: float
    """Median over the rounds; includes time in the operating system."""
    ratio: float
    """Speed relative to soundfile in the same round; median over the rounds."""


def bench_reading(
    wanted: AudioFormat, files: int = FILES, rounds: int = ROUNDS, seed: int = 0
) -> list[ReadingRow]:
    """Write wav files to a temporary folder and measure all readers, interleaved, on one core.

    Args:
        wanted: Rate and length of the files, which are mono with 16 bits.
        files: Number of files.
        rounds: Each round measures each reader once.
        seed: Seed of the noise in the files.
    """
    seconds: dict[str, list[float]] = {name: [] for name in READERS}
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        names = _write(Path(folder), wanted, files, seed)
        for read in READERS.values():  # fills the page cache and warms up all readers
            read(folder, names, wanted)
        for _ in range(rounds):
            for name, read in READERS.items():
                started = time.process_time()
                read(folder, names, wanted)
                seconds[name].append(time.process_time() - started)
    reference = np.array(seconds[SOUNDFILE])
    return [
        ReadingRow(
            name=name,
            files_per_cpu_second=files / float(np.median(taken)),
            ratio=float(np.median(reference / np.array(taken))),
        )
        for name, taken in seconds.items()
    ]


def _write(folder: Path, wanted: AudioFormat, files: int, seed: int) -> list[str]:
    random = np.random.default_rng(seed)
    names = [f"clip_{index:06d}.wav" for index in range(files)]
    for name in names:
        noise = random.normal(scale=3000, size=wanted.samples).clip(-32768, 32767)
        soundfile.write(folder / name, noise.astype(np.int16), wanted.sample_rate, subtype="PCM_16")
    return names


def _walk(folder: str, names: list[str], _wanted: AudioFormat) -> None:
    for content in _contents(folder, names):
        parse_pcm16(content)


def _decode(folder: str, names: list[str], wanted: AudioFormat) -> None:
    row: NDArray[np.float32] = np.empty(wanted.samples, np.float32)
    for content in _contents(folder, names):
        decode(content, wanted, row)


def _soundfile(folder: str, names: list[str], _wanted: AudioFormat) -> None:
    for name in names:
        soundfile.read(f"{folder}/{name}", dtype="float32")


def _contents(folder: str, names: list[str]) -> Iterator[bytes]:
    """Yield the contents of the files, read in groups as in the service."""
    for start in range(0, len(names), LOCAL_GROUP_FILES):
        for content in read_local(folder, names[start : start + LOCAL_GROUP_FILES]):
            if isinstance(content, OSError):
                raise content
            yield content


SOUNDFILE = "soundfile"
READERS: dict[str, Reader] = {
    "read and walk": _walk,
    "read and decode": _decode,
    SOUNDFILE: _soundfile,
}
"""The measured readers, by name."""
