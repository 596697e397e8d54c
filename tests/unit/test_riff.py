"""Shapes of wav files that occur, and whether the walk takes them."""

import io
import struct

import numpy as np
import pytest
import soundfile

from overlap.audio.wav_pcm16 import PCM_GUID, pcm16

CODES = np.array([1, -2, 300, 32767, -32768, 0], "<i2")
DATA = CODES.tobytes()


def chunk(name: bytes, body: bytes, size: int | None = None, pad: bool = True) -> bytes:
    size = len(body) if size is None else size
    return struct.pack("<4sI", name, size) + body + (b"\0" if pad and len(body) % 2 else b"")


def form(channels: int = 1, codec: int = 1, bits: int = 16, **lies: int) -> bytes:
    align = lies.get("align", 2 * channels)
    rate = lies.get("byte_rate", 16000 * align)
    body = struct.pack("<HHIIHH", codec, channels, 16000, rate, align, bits)
    if codec == 0xFFFE:
        body += struct.pack("<HHI", 22, 16, 4) + PCM_GUID
    return chunk(b"fmt ", body + b"\0" * lies.get("extra", 0))


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body) if size is None else size) + body


INFO = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"some program"))
TAKEN = {
    "plain": riff(form(), chunk(b"data", DATA)),
    "stereo": riff(form(2), chunk(b"data", DATA)),
    "extensible": riff(form(2, 0xFFFE), chunk(b"data", DATA)),
    "a longer format chunk": riff(form(extra=2), chunk(b"data", DATA)),
    "byte rate and block align that lie": riff(form(align=7, byte_rate=1), chunk(b"data", DATA)),
    "size never filled in": riff(form(), chunk(b"data", DATA, 0xFFFFFFFF), size=0xFFFFFFFF),
    "size too large": riff(form(), chunk(b"data", DATA, 4000)),
    "riff size 0": riff(form(), chunk(b"data", DATA), size=0),
    "odd size": riff(form(), chunk(b"data", DATA[:-1])),
    "cut off": riff(form(), chunk(b"data", DATA))[:-3],
    "part of a frame": riff(form(2), chunk(b"data", DATA[:-2])),
    "texts before": riff(form(), INFO, chunk(b"data", DATA)),
    "texts behind": riff(form(), chunk(b"data", DATA), INFO),
    "fact": riff(form(), chunk(b"fact", struct.pack("<I", 99)), chunk(b"data", DATA)),
    "odd junk with its pad byte": riff(chunk(b"junk", b"abc"), form(), chunk(b"data", DATA)),
    "unknown chunks": riff(
        form(), chunk(b"abcd", b"xy"), chunk(b"data", DATA), chunk(b"id3 ", DATA)
    ),
    "zeros at the end": riff(form(), chunk(b"data", DATA), bytes(32)),
    "a few bytes more": riff(form(), chunk(b"data", DATA), b"xyz"),
    "large junk": riff(form(), chunk(b"JUNK", bytes(50_000)), chunk(b"data", DATA)),
}
LEFT = {
    "nothing": b"",
    "no sound": b"some text that is longer than a header of 44 bytes would be",
    "big endian": b"RIFX" + TAKEN["plain"][4:],
    "64 bits": b"RF64" + TAKEN["plain"][4:],
    "8 bits": riff(form(bits=8), chunk(b"data", DATA)),
    "24 bits": riff(form(bits=24), chunk(b"data", DATA)),
    "float": riff(form(codec=3, bits=32), chunk(b"data", DATA)),
    "no channel": riff(form(0), chunk(b"data", DATA)),
    "too many channels": riff(form(1024), chunk(b"data", bytes(4096))),
    "data before its format": riff(chunk(b"data", DATA), form()),
    "two data chunks": riff(form(), chunk(b"data", DATA), chunk(b"data", DATA)),
    "two formats": riff(form(), form(2), chunk(b"data", DATA)),
    "no data": riff(form()),
    "empty": riff(form(), chunk(b"data", b"")),
    "size 0 before samples": riff(form(), chunk(b"data", DATA, 0)),
    "odd junk without a pad byte": riff(
        form(), chunk(b"junk", b"abc", pad=False), chunk(b"data", DATA)
    ),
    "half a chunk at the end": riff(form(), chunk(b"data", DATA), b"abcdef"),
    "a chunk that libsndfile checks": riff(form(), chunk(b"PEAK", DATA), chunk(b"data", DATA)),
    "another codec in the samples": riff(form(), chunk(b"data", b"wvpk" + DATA)),
    "a header beyond libsndfile's": riff(
        form(), chunk(b"JUNK", bytes(200_000)), chunk(b"data", DATA)
    ),
    "texts that do not end where they say": riff(
        form(), chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"abc", 99)), chunk(b"data", DATA)
    ),
}


def by_libsndfile(data: bytes) -> tuple[int, np.ndarray]:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return file.samplerate, file.read(dtype="int16", always_2d=True)


@pytest.mark.parametrize("kind", TAKEN)
def test_what_is_certain_is_what_libsndfile_reads(kind: str) -> None:
    found = pcm16(TAKEN[kind])
    assert found is not None
    rate, samples = by_libsndfile(TAKEN[kind])
    assert (found.rate_hz, found.channels) == (rate, samples.shape[1])
    assert np.array_equal(found.samples, samples)


@pytest.mark.parametrize("kind", LEFT)
def test_what_is_odd_is_left_to_libsndfile(kind: str) -> None:
    assert pcm16(LEFT[kind]) is None


def test_the_samples_are_a_view() -> None:
    data = TAKEN["plain"]
    found = pcm16(data)
    assert not found.samples.flags.owndata
    assert not found.samples.flags.writeable
    assert found.samples.shape == (6, 1)
