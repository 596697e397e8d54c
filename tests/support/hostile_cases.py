"""Definition of the cases of hostile data, and builders of malformed audio files."""

import io
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

USED, REPAIRED, QUARANTINED = "used as it is", "repaired", "quarantined"
LEFT_OUT, REFUSED = "left out", "refused"
COLUMNS = ("input", "outcome", "repairs, or code of the problem")

RATE = 16000
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
"""A valid clip of one second."""
CODES = np.round(TONE * 32768).astype("<i2")
DATA = CODES.tobytes()


@dataclass(frozen=True)
class Case:
    """One hostile input and its expected outcome."""

    name: str
    """Description for readers."""
    write: Callable[[Path], None]
    """Creates the file at a path."""
    outcome: str
    code: str = ""
    """The repairs of a repaired clip, else the code of the problem; empty for unchanged use."""
    file: str | None = None
    """Name of the file; by default, the name of an audio file derived from `name`."""
    facts: tuple[str, ...] = ()
    """Texts that the message must contain, such as ids, numbers and lines."""

    @property
    def file_name(self) -> str:
        """Name of the file in its folder."""
        return self.file or re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") + ".wav"

    @property
    def line(self) -> Sequence[str]:
        """The row of the case in the documentation."""
        return self.name, self.outcome, f"`{self.code}`" if self.code else ""


def holds(content: bytes | str) -> Callable[[Path], None]:
    """Return a function that writes a file with this content."""
    data = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(data) and None


def links_to(target: str) -> Callable[[Path], None]:
    """Return a function that creates a symbolic link."""
    return lambda path: path.symlink_to(target)


def encoded(samples: np.ndarray, rate: int = RATE, **kind: str) -> bytes:
    """Encode an audio file with libsndfile."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "PCM_16"} | kind))
    return file.getvalue()


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, optionally with a wrong size."""
    return struct.pack("<4sI", name, len(body) if size is None else size) + body


def form(channels: int = 1, codec: int = 1, bits: int = 16, rate: int = RATE) -> bytes:
    """A format chunk."""
    align = channels * bits // 8
    size = rate * align & 0xFFFFFFFF
    body = struct.pack("<HHIIHH", codec, channels, rate, size, align & 0xFFFF, bits)
    return chunk(b"fmt ", body)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A WAV file of chunks."""
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body) if size is None else size) + body


def wav(data: bytes = DATA, size: int | None = None, **shape: int) -> bytes:
    """A WAV file with arbitrary values in its header."""
    return riff(form(**shape), chunk(b"data", data, size))


def long_wav(seconds: int) -> Callable[[Path], None]:
    """A sparse recording of that length: one second of tone, then silence without disk usage."""

    def write(path: Path) -> None:
        size = 2 * RATE * seconds
        path.write_bytes(wav(size=size))
        with path.open("r+b") as file:
            file.truncate(44 + size)

    return write
