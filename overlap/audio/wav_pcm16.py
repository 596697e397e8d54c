"""The samples of a plain 16-bit wav file, found by a walk over its RIFF chunks.

libsndfile decides what a sound file means; this walk only answers quicker, and only where the
answer is certain. It follows libsndfile's own walk: what that repairs silently (a size that
lies) is repaired alike, and whatever it would look at more closely is left to it.
"""

import struct
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

PCM, EXTENSIBLE = 0x0001, 0xFFFE
PCM_GUID = bytes.fromhex("0100000000001000800000aa00389b71")
"""Sub-format of WAVE_FORMAT_EXTENSIBLE that means PCM."""
EXTENSIBLE_SIZE = 40
"""Bytes of its format chunk; the sub-format ends it."""
MOST_CHANNELS = 1023
"""libsndfile refuses more."""
HIGHEST_RATE = 2**31 - 1
"""libsndfile takes the rate for a signed number."""
MOST_AROUND = 1 << 16
"""Bytes around the samples; libsndfile gives up on headers beyond about 100 kB."""

_LOOKED_INTO = frozenset(
    {b"RIFF", b"RIFX", b"fmt ", b"data"}
    | {b"PEAK", b"cue ", b"smpl", b"acid", b"INFO", b"bext", b"cart"}
)
"""Chunks that libsndfile interprets, and whose faults make it refuse the file or lose its way; a
format or data chunk that comes twice, or at a wrong place, is one."""
_LOOKED_INTO_BELOW = frozenset(
    {b"data", b"exif", b"INFO", b"adtl", b"labl", b"ltxt", b"note", b"DISP"}
)
"""The same below a LIST chunk."""
_OTHER_CODECS = (b"wvpk", b"OggS")
"""Samples that begin so are none."""

_CHUNK = struct.Struct("<4sI")
_FORMAT = struct.Struct("<HHIIHH")
_INT16 = np.dtype("<i2")


@dataclass(frozen=True, slots=True)
class Pcm16:
    """Samples of a file, not copied."""

    rate_hz: int
    """Sampling rate, Hz."""
    channels: int
    """Channels."""
    samples: NDArray[np.int16]
    """(frames, channels) int16, little endian: a read-only view of the file's bytes."""


def pcm16(data: bytes) -> Pcm16 | None:
    """The samples of a plain PCM 16-bit wav file.

    Args:
        data: Content of the file.

    Returns:
        What libsndfile reads from the same bytes, never anything else; None where the file is of
        another kind, holds no sample, or is odd in a way that is left to libsndfile.
    """
    found = _walk(data)
    if found is None:
        return None
    (rate, channels), start, length = found
    frames = length // (2 * channels) if channels else 0
    if not frames or data[start : start + 4] in _OTHER_CODECS or len(data) - length > MOST_AROUND:
        return None
    samples = np.frombuffer(data, _INT16, frames * channels, start)
    return Pcm16(rate, channels, samples.reshape(frames, channels))


def _walk(data: bytes) -> tuple[tuple[int, int], int, int] | None:
    """Rate and channels, and where the samples start and how many bytes they have."""
    if data[:4] != b"RIFF" or data[8:12] != b"WAVE":
        return None
    size, at = len(data), 12
    form, start, stop = None, 0, 0
    while at + 8 <= size:
        name, length = _CHUNK.unpack_from(data, at)
        at += 8
        if name == b"fmt " and form is None:
            form = _format(data, at, length)
        elif name == b"data" and form is not None and length and not start:
            # A size that reaches beyond the end is taken for what is there.
            start, stop = at, min(at + length, size)
        elif name == b"\0\0\0\0":
            at = size  # libsndfile takes zeros for the end
        elif not _can_be_skipped(data, name, at, length):
            return None
        at += length + (length & 1)
    # With 5 to 7 bytes left libsndfile reads half a chunk.
    return None if form is None or 4 < size - at < 8 else (form, start, stop - start)


def _format(data: bytes, at: int, length: int) -> tuple[int, int]:
    """Rate and channels; zeros where the format chunk does not mean PCM of 16 bits.

    Byte rate and block align are not looked at: libsndfile computes them itself.
    """
    if length < _FORMAT.size or at + length > len(data):
        return 0, 0
    codec, channels, rate, _, _, bits = _FORMAT.unpack_from(data, at)
    if codec == EXTENSIBLE:
        known = length >= EXTENSIBLE_SIZE and data[at + 24 : at + EXTENSIBLE_SIZE] == PCM_GUID
    else:
        known = codec == PCM
    if known and bits == 16 and 1 <= channels <= MOST_CHANNELS and 1 <= rate <= HIGHEST_RATE:
        return rate, channels
    return 0, 0


def _can_be_skipped(data: bytes, name: bytes, at: int, length: int) -> bool:
    """Whether libsndfile goes from this chunk to the next one without a look at its content."""
    if name == b"LIST":
        return _is_plain_list(data, at, length)
    if name == b"fact":
        return length >= 4
    # libsndfile searches byte by byte after a name that cannot be printed.
    return name not in _LOOKED_INTO and all(32 <= byte < 127 for byte in name)


def _is_plain_list(data: bytes, at: int, length: int) -> bool:
    """Whether a LIST chunk holds texts, one behind the other, and ends where it says."""
    end = at + length
    if length <= 8 or end > len(data) or data[at : at + 4] != b"INFO":
        return False
    at += 4
    while at < end:
        if at + 8 > end:
            return False
        name, below = _CHUNK.unpack_from(data, at)
        at += 8 + below
        if name in _LOOKED_INTO_BELOW or name == b"\0\0\0\0" or at > end:
            return False
        at += below & 1
    return True
