"""Variants of WAV files, and whether the parser accepts them."""

import io
import struct

import numpy as np
import pytest
import soundfile

from overlap.audio.wav_pcm16 import PCM_GUID, parse_pcm16

CODES = np.array([1, -2, 300, 32767, -32768, 0], "<i2")
DATA = CODES.tobytes()


def chunk(name: bytes, body: bytes, size: int | None = None, pad: bool = True) -> bytes:
    size = len(body) if size is None else size
    return struct.pack("<4sI", name, size) + body + (b"\0" if pad and len(body) % 2 else b"")


def fmt(channels: int = 1, codec: int = 1, bits: int = 16, **wrong: int) -> bytes:
    align = wrong.get("align", 2 * channels)
    rate = wrong.get("byte_rate", 16000 * align)
    body = struct.pack("<HHIIHH", codec, channels, 16000, rate, align, bits)
    if codec == 0xFFFE:
        body += struct.pack("<HHI", 22, 16, 4) + PCM_GUID
    return chunk(b"fmt ", body + b"\0" * wrong.get("extra", 0))


def riff(*chunks: bytes, size: int | None = None) -> bytes:
    body = b"WAVE" + b"".join(chunks)
    return struct.pack("<4sI", b"RIFF", len(body) if size is None else size) + body


INFO = chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"some program"))
PARSED = {
    "plain": riff(fmt(), chunk(b"data", DATA)),
    "stereo": riff(fmt(2), chunk(b"data", DATA)),
    "extensible": riff(fmt(2, 0xFFFE), chunk(b"data", DATA)),
    "long format chunk": riff(fmt(extra=2), chunk(b"data", DATA)),
    "wrong byte rate and block alignment": riff(fmt(align=7, byte_rate=1), chunk(b"data", DATA)),
    "size never set": riff(fmt(), chunk(b"data", DATA, 0xFFFFFFFF), size=0xFFFFFFFF),
    "size too large": riff(fmt(), chunk(b"data", DATA, 4000)),
    "riff size 0": riff(fmt(), chunk(b"data", DATA), size=0),
    "odd size": riff(fmt(), chunk(b"data", DATA[:-1])),
    "truncated": riff(fmt(), chunk(b"data", DATA))[:-3],
    "partial frame": riff(fmt(2), chunk(b"data", DATA[:-2])),
    "texts before the samples": riff(fmt(), INFO, chunk(b"data", DATA)),
    "texts after the samples": riff(fmt(), chunk(b"data", DATA), INFO),
    "fact": riff(fmt(), chunk(b"fact", struct.pack("<I", 99)), chunk(b"data", DATA)),
    "junk of odd size with its pad byte": riff(chunk(b"junk", b"abc"), fmt(), chunk(b"data", DATA)),
    "unknown chunks": riff(
        fmt(), chunk(b"abcd", b"xy"), chunk(b"data", DATA), chunk(b"id3 ", DATA)
    ),
    "zeros at the end": riff(fmt(), chunk(b"data", DATA), bytes(32)),
    "trailing bytes": riff(fmt(), chunk(b"data", DATA), b"xyz"),
    "large junk": riff(fmt(), chunk(b"JUNK", bytes(50_000)), chunk(b"data", DATA)),
}
UNPARSED = {
    "no bytes": b"",
    "text": b"plain text that is longer than the 44 bytes of a header",
    "big endian": b"RIFX" + PARSED["plain"][4:],
    "64 bits": b"RF64" + PARSED["plain"][4:],
    "8 bits": riff(fmt(bits=8), chunk(b"data", DATA)),
    "24 bits": riff(fmt(bits=24), chunk(b"data", DATA)),
    "float": riff(fmt(codec=3, bits=32), chunk(b"data", DATA)),
    "no channels": riff(fmt(0), chunk(b"data", DATA)),
    "too many channels": riff(fmt(1024), chunk(b"data", bytes(4096))),
    "data before the format": riff(chunk(b"data", DATA), fmt()),
    "repeated data chunk": riff(fmt(), chunk(b"data", DATA), chunk(b"data", DATA)),
    "repeated format chunk": riff(fmt(), fmt(2), chunk(b"data", DATA)),
    "no data chunk": riff(fmt()),
    "empty data chunk": riff(fmt(), chunk(b"data", b"")),
    "size 0 before samples": riff(fmt(), chunk(b"data", DATA, 0)),
    "junk of odd size without a pad byte": riff(
        fmt(), chunk(b"junk", b"abc", pad=False), chunk(b"data", DATA)
    ),
    "partial chunk header at the end": riff(fmt(), chunk(b"data", DATA), b"abcdef"),
    "chunk that libsndfile interprets": riff(fmt(), chunk(b"PEAK", DATA), chunk(b"data", DATA)),
    "samples of another codec": riff(fmt(), chunk(b"data", b"wvpk" + DATA)),
    "header beyond libsndfile's limit": riff(
        fmt(), chunk(b"JUNK", bytes(200_000)), chunk(b"data", DATA)
    ),
    "text with a wrong size": riff(
        fmt(), chunk(b"LIST", b"INFO" + chunk(b"ISFT", b"abc", 99)), chunk(b"data", DATA)
    ),
}


def read_with_libsndfile(data: bytes) -> tuple[int, np.ndarray]:
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        return file.samplerate, file.read(dtype="int16", always_2d=True)


@pytest.mark.parametrize("kind", PARSED)
def test_parsed_samples_equal_those_of_libsndfile(kind: str) -> None:
    found = parse_pcm16(PARSED[kind])
    assert found is not None
    rate, samples = read_with_libsndfile(PARSED[kind])
    assert (found.rate_hz, found.channels) == (rate, samples.shape[1])
    assert np.array_equal(found.samples, samples)


@pytest.mark.parametrize("kind", UNPARSED)
def test_ambiguous_files_are_left_to_libsndfile(kind: str) -> None:
    assert parse_pcm16(UNPARSED[kind]) is None


def test_the_samples_are_a_read_only_view() -> None:
    data = PARSED["plain"]
    found = parse_pcm16(data)
    assert not found.samples.flags.owndata
    assert not found.samples.flags.writeable
    assert found.samples.shape == (6, 1)
