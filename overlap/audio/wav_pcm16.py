"""Parses the samples of a plain 16-bit WAV file from its RIFF chunks.

libsndfile defines what an audio file means. This parser is faster, and answers only if its result
is certain to equal libsndfile's. It follows libsndfile's own parser: it repairs alike what
libsndfile repairs silently (a wrong size), and leaves to libsndfile every file that libsndfile
would inspect more closely.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PCM, EXTENSIBLE = 0x0001, 0xFFFE
PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
"""GUID of the sub-format PCM in WAVE_FORMAT_EXTENSIBLE."""
EXTENSIBLE_SIZE = 40
"""Size of the extensible format chunk in bytes; the sub-format is at its end."""
MAX_CHANNELS = 1023
"""libsndfile's limit."""
MAX_RATE = 2**31 - 1
"""libsndfile reads the rate as a signed number."""
MAX_OVERHEAD_BYTES = 1 << 16
"""Limit of the bytes outside of the samples; libsndfile rejects headers above about 100 kB."""

_INTERPRETED = frozenset(
    {b"RIFF", b"RIFX", b"fmt ", b"data"}
    | {b"PEAK", b"cue ", b"smpl", b"acid", b"INFO", b"bext", b"cart"}
)
"""Chunks that libsndfile interprets. A fault in one (such as a repeated or misplaced format or data
chunk) makes libsndfile reject the file or continue at another position."""
_INTERPRETED_IN_LIST = frozenset(
    {b"data", b"exif", b"INFO", b"adtl", b"labl", b"ltxt", b"note", b"DISP"}
)
"""Chunks that libsndfile interprets within a LIST chunk."""
_OTHER_CODECS = (b"wvpk", b"OggS")
"""Magic numbers of codecs; a data chunk that begins with one holds no PCM samples."""

_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_INT16 = np.dtype("<i2")


@dataclass(frozen=True, slots=True)
class Pcm16:
    """The samples of a file, without a copy."""

    rate_hz: int
    """Sampling rate, Hz."""
    channels: int
    """Number of channels."""
    samples: NDArray[np.int16]
    """(frames, channels) int16, little endian: a read-only view of the file's bytes."""


def parse_pcm16(data: bytes) -> Pcm16 | None:
    """Parse the samples of a plain PCM 16-bit WAV file.

    Args:
        data: Content of the file.

    Returns:
        The samples that libsndfile reads from the same bytes; None if the file has another format
        or no samples, or if only libsndfile can decide how to read it.
    """
    parsed = _parse_chunks(data)
    if parsed is None:
        return None
    (rate, channels), start, length = parsed
    frames = length // (2 * channels) if channels else 0
    if (
        not frames
        or data[start : start + 4] in _OTHER_CODECS
        or len(data) - length > MAX_OVERHEAD_BYTES
    ):
        return None
    samples = np.frombuffer(data, _INT16, frames * channels, start)
    return Pcm16(rate, channels, samples.reshape(frames, channels))


def _parse_chunks(data: bytes) -> tuple[tuple[int, int], int, int] | None:
    """Return (rate, channels), the offset and the size in bytes of the samples; None if unsure."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    size, at = len(data), 12
    fmt, start, stop = None, 0, 0
    while at + 8 <= size:
        name, length = _CHUNK.unpack_from(data, at)
        at += 8
        if name == b"fmt " and fmt is None:
            fmt = _parse_format(data, at, length)
        elif name == b"data" and fmt is not None and length and not start:
            # A size beyond the end of the file means the rest of the file.
            start, stop = at, min(at + length, size)
        elif name == b"\0\0\0\0":
            at = size  # libsndfile stops at a name of zeros
        elif not _is_skippable(data, name, at, length):
            return None
        at += length + (length & 1)
    # With 5 to 7 bytes left, libsndfile reads a partial chunk header.
    return None if fmt is None or 4 < size - at < 8 else (fmt, start, stop - start)


def _parse_format(data: bytes, at: int, length: int) -> tuple[int, int]:
    """Return rate and channels; zeros if the format chunk does not describe 16-bit PCM.

    Byte rate and block alignment are ignored: libsndfile computes them itself.
    """
    if length < _FORMAT.size or at + length > len(data):
        return 0, 0
    codec, channels, rate, _, _, bits = _FORMAT.unpack_from(data, at)
    if codec == EXTENSIBLE:
        is_pcm = length >= EXTENSIBLE_SIZE and data[at + 24 : at + EXTENSIBLE_SIZE] == PCM_GUID
    else:
        is_pcm = codec == PCM
    if is_pcm and bits == 16 and 1 <= channels <= MAX_CHANNELS and 1 <= rate <= MAX_RATE:
        return rate, channels
    return 0, 0


def _is_skippable(data: bytes, name: bytes, at: int, length: int) -> bool:
    """Return whether libsndfile skips this chunk without reading its content."""
    if name == b"LIST":
        return _is_plain_list(data, at, length)
    if name == b"fact":
        return length >= 4
    # After an unprintable name, libsndfile searches for the next chunk byte by byte.
    return name not in _INTERPRETED and all(32 <= byte < 127 for byte in name)


def _is_plain_list(data: bytes, at: int, length: int) -> bool:
    """Return whether a LIST chunk is a contiguous sequence of texts that ends at its own end."""
    end = at + length
    if length <= 8 or end > len(data) or data[at : at + 4] != b"INFO":
        return False
    at += 4
    while at < end:
        if at + 8 > end:
            return False
        name, below = _CHUNK.unpack_from(data, at)
        at += 8 + below
        if name in _INTERPRETED_IN_LIST or name == b"\0\0\0\0" or at > end:
            return False
        at += below & 1
    return True
