"""The parser of 16-bit WAV files returns what libsndfile returns, or None."""

import io
import struct

import numpy as np
import pytest
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from overlap.audio.decode import Clip, decode
from overlap.audio.wav_pcm16 import PCM_GUID, parse_pcm16
from overlap.config import AudioFormat
from overlap.errors import AudioError

NAMES = [
    b"LIST", b"fact", b"junk", b"JUNK", b"id3 ", b"bext", b"cue ", b"PEAK", b"data", b"fmt ",
    b"RIFF", b"WAVE", b"PAD ", b"cart", b"smpl", b"acid", b"inst", b"\0\0\0\0", b"a\1bc",
]  # fmt: skip
WRONG_SIZES = [0, 1, 2, 4, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFF0000, 0xFFFFFFFE, 0xFFFFFFFF]


def mostly(usual: st.SearchStrategy, odd: st.SearchStrategy) -> st.SearchStrategy:
    return st.integers(0, 9).flatmap(lambda n: odd if n == 9 else usual)


@st.composite
def chunk(draw: st.DrawFn, name: bytes, body: bytes) -> bytes:
    """One chunk, in some cases with a wrong size or without its pad byte."""
    size = draw(
        mostly(st.just(len(body)), st.sampled_from([*WRONG_SIZES, len(body) + 1, len(body) + 50]))
    )
    pad = b"\0" if len(body) % 2 and draw(mostly(st.just(True), st.just(False))) else b""
    return struct.pack("<4sI", name, size) + body + pad


@st.composite
def formats(draw: st.DrawFn) -> bytes:
    codec = draw(mostly(st.sampled_from([1, 1, 0xFFFE]), st.sampled_from([0, 3, 6])))
    channels = draw(mostly(st.sampled_from([1, 1, 2, 3]), st.sampled_from([0, 1023, 1024, 65535])))
    rate = draw(mostly(st.just(16000), st.sampled_from([0, 1, 44100, 2**31 - 1, 2**31])))
    bits = draw(mostly(st.just(16), st.sampled_from([0, 8, 12, 24, 32])))
    byte_rate, align = draw(st.sampled_from([(32000, 2), (0, 0), (7, 5), (64000, 4)]))
    body = struct.pack("<HHIIHH", codec, channels, rate, byte_rate, align, bits)
    if codec == 0xFFFE:
        body += struct.pack("<HHI", 22, 16, draw(st.sampled_from([0, 3, 4, 0xFFFFFFFF])))
        body += draw(mostly(st.just(PCM_GUID), st.binary(min_size=16, max_size=16)))
    return body + draw(mostly(st.just(b""), st.binary(max_size=4)))


@st.composite
def lists(draw: st.DrawFn) -> bytes:
    body = draw(mostly(st.just(b"INFO"), st.sampled_from([b"adtl", b"data"])))
    for name in draw(st.lists(st.sampled_from([b"ISFT", b"ICMT", b"XXXX", b"data"]), max_size=3)):
        body += draw(chunk(name, draw(st.binary(max_size=9))))
    return body


@st.composite
def extras(draw: st.DrawFn) -> list[bytes]:
    """Chunks in addition to the two essential ones."""
    names = draw(st.lists(mostly(st.sampled_from(NAMES[:5]), st.sampled_from(NAMES)), max_size=2))
    bodies = [draw(lists() if name == b"LIST" else st.binary(max_size=13)) for name in names]
    return [draw(chunk(name, body)) for name, body in zip(names, bodies, strict=True)]


ANYTHING = st.binary(max_size=40)


@st.composite
def files(draw: st.DrawFn, content: st.SearchStrategy[bytes] = ANYTHING) -> bytes:
    """A WAV file, usually malformed in some way."""
    parts = [
        *draw(extras()),
        draw(chunk(b"fmt ", draw(formats()))),
        *draw(extras()),
        draw(chunk(b"data", draw(content))),
        *draw(extras()),
    ]
    parts = draw(mostly(st.just(parts), st.permutations(parts)))
    body = b"".join(parts) + draw(mostly(st.just(b""), st.binary(max_size=9)))
    kind = draw(mostly(st.just(b"RIFF"), st.sampled_from([b"RIFX", b"RF64"])))
    size = draw(st.sampled_from([len(body) + 4, *WRONG_SIZES, 8]))
    whole = struct.pack("<4sI4s", kind, size, b"WAVE") + body
    end = draw(mostly(st.just(len(whole)), st.integers(0, len(whole))))
    return whole[:end]


def assert_as_libsndfile(data: bytes) -> bool:
    found = parse_pcm16(data)
    if found is None:
        return False
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        expected = file.read(dtype="int16", always_2d=True)
        assert (found.rate_hz, found.channels) == (file.samplerate, file.channels)
        assert file.subtype == "PCM_16"
    assert found.samples.dtype == np.int16
    assert np.array_equal(found.samples, expected)
    return True


@pytest.mark.extended
@settings(max_examples=500)
@given(files())
def test_the_parser_never_differs_from_libsndfile(data: bytes) -> None:
    assert_as_libsndfile(data)


@settings(max_examples=200)
@given(st.data())
def test_headers_with_random_bytes_are_parsed_alike(draw: st.DataObject) -> None:
    data = bytearray(wav(np.arange(20, dtype=np.int16)))
    for at in draw.draw(st.lists(st.integers(0, 47), min_size=1, max_size=4)):
        data[at] = draw.draw(st.integers(0, 255))
    assert_as_libsndfile(bytes(data))


WANTED = AudioFormat(100, 20)
SAMPLES = st.lists(st.sampled_from([0, 1, -1, 9, 32767, -32767, -32768]), max_size=60).map(
    lambda codes: np.array(codes, "<i2").tobytes()
)
PLAIN = st.lists(st.sampled_from([0, 0, 5, 32767, -32768, -32767]), min_size=20, max_size=20)


def outcome(data: bytes, wanted: AudioFormat) -> Clip | tuple[str, str]:
    try:
        return decode(data, wanted)
    except AudioError as error:
        return error.code, str(error)


def assert_same_clip(data: bytes, wanted: AudioFormat) -> None:
    quick = outcome(data, wanted)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("overlap.audio.decode.parse_pcm16", lambda _: None)
        slow = outcome(data, wanted)
    if isinstance(quick, tuple) or isinstance(slow, tuple):
        assert quick == slow
        return
    assert (quick.repairs, quick.clipped) == (slow.repairs, slow.clipped)
    assert quick.samples.tobytes() == slow.samples.tobytes()
    assert quick.samples.dtype == slow.samples.dtype == np.float32


@settings(max_examples=200)
@given(files(SAMPLES), st.sampled_from([16000, 8000, 100]))
def test_malformed_files_give_the_same_clip_with_and_without_the_parser(
    data: bytes, rate: int
) -> None:
    assert_same_clip(data, AudioFormat(rate, 20))


@settings(max_examples=200)
@given(
    codes=st.one_of(PLAIN, st.lists(st.integers(-32768, 32767), min_size=1, max_size=60)),
    channels=st.integers(1, 3),
    rate=st.sampled_from([100, 100, 50, 160]),
)
def test_valid_files_give_the_same_clip_with_and_without_the_parser(
    codes: list[int], channels: int, rate: int
) -> None:
    samples = np.array(codes, np.int16)
    frames = len(samples) // channels
    assert_same_clip(wav(samples[: frames * channels].reshape(frames, channels), rate), WANTED)


def wav(samples: np.ndarray, rate: int = 100) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, format="WAV", subtype="PCM_16")
    return file.getvalue()
