"""What the cases of hostile data share: how one is written down, and bytes of sound files."""

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
COLUMNS = ("input", "outcome", "what is said")

RATE = 16000
TONE = 0.3 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
"""A good clip of one second."""
CODES = np.round(TONE * 32768).astype("<i2")
DATA = CODES.tobytes()


@dataclass(frozen=True)
class Case:
    """One bad input, and what must come of it."""

    name: str
    """What a person reads."""
    write: Callable[[Path], None]
    """Makes the file at a path."""
    outcome: str
    says: str = ""
    """Repairs, reason or message, as far as it is fixed; nothing where it is used as it is."""
    file: str | None = None
    """Name of the file; of a sound file without one it is made of `name`."""

    @property
    def file_name(self) -> str:
        """Where `write` puts it in its folder."""
        return self.file or re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-") + ".wav"

    @property
    def line(self) -> Sequence[str]:
        """Its line in the documentation."""
        said = self.says + "…)" * self.says.endswith("(")
        return self.name, self.outcome, f"`{said}`" if said else ""


def holds(content: bytes | str) -> Callable[[Path], None]:
    """A file with this content."""
    data = content.encode() if isinstance(content, str) else content
    return lambda path: path.write_bytes(data) and None


def links_to(target: str) -> Callable[[Path], None]:
    """A symbolic link."""
    return lambda path: path.symlink_to(target)


def encoded(samples: np.ndarray, rate: int = RATE, **kind: str) -> bytes:
    """A sound file as libsndfile writes it."""
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "PCM_16"} | kind))
    return file.getvalue()


def chunk(name: bytes, body: bytes, size: int | None = None) -> bytes:
    """A RIFF chunk, with a size that may lie."""
    return struct.pack("<4sI", name, len(body) if size is None else size) + body


def form(channels: int = 1, codec: int = 1, bits: int = 16, rate: int = RATE) -> bytes:
    """A format chunk."""
    align = channels * bits // 8
    size = rate * align & 0xFFFFFFFF
    body = struct.pack("<HHIIHH", codec, channels, rate, size, align & 0xFFFF, bits)
    return chunk(b"fmt ", body)


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    """A wav file of chunks."""
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body) if size is None else size) + body


def wav(data: bytes = DATA, size: int | None = None, **shape: int) -> bytes:
    """A wav file whose header says what it is told to say."""
    return riff(form(**shape), chunk(b"data", data, size))


def long_wav(seconds: int) -> Callable[[Path], None]:
    """A recording of that length: a second of tone, then nothing, for which no disk is used."""

    def write(path: Path) -> None:
        size = 2 * RATE * seconds
        path.write_bytes(wav(size=size))
        with path.open("r+b") as file:
            file.truncate(44 + size)

    return write
