"""Strategies for corrupted audio files and tables, and the invariants of reading them."""

import struct
from pathlib import Path

import numpy as np
from hypothesis import strategies as st

from overlap.audio.decode import Clip, decode
from overlap.catalog.id_matching import match_ids
from overlap.catalog.problems import Problems
from overlap.catalog.tables.label_tables import read_table
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.io.location import Location
from support.hostile_cases import encoded

WANTED = AudioFormat(16000, 1600)
SOUND = 0.3 * np.sin(np.arange(1600) / 5)
SOUNDS = [
    encoded(SOUND),
    encoded(np.stack([SOUND, SOUND], 1), 22050),
    *(encoded(SOUND, subtype=kind) for kind in ("PCM_24", "FLOAT", "DOUBLE", "ALAW", "IMA_ADPCM")),
    *(encoded(SOUND, format=kind) for kind in ("FLAC", "AIFF", "W64", "RF64", "CAF", "AU")),
    encoded(SOUND, format="MP3", subtype="MPEG_LAYER_III"),
    encoded(SOUND, format="OGG", subtype="VORBIS"),
]
TABLES = [
    b"id,yes,no\na,1,0\nb,0.5,0.5\n",
    b'\xef\xbb\xbf"id","yes"\r\n"a","1"\r\n',
    "id,네,아니오\n가,1e0,0\n나, 0 ,1\n".encode(),
    b"yes,id,no\n1,a,0\n\n,,\n",
]
WRONG_SIZES = [0, 1, 2, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF]
NUMBERS = [struct.pack(order, size) for size in WRONG_SIZES for order in ("<I", ">I")]
WORDS = [
    *(b"RIFF", b"RIFX", b"fmt ", b"data", b"LIST", b"fact", b"fLaC", b"OggS", b"FORM", b"\xff\xfb"),
    *NUMBERS,
]
MARKS = [
    *(
        b",",
        b'"',
        b"\n",
        b"\r",
        b"\0",
        b";",
        b"id",
        b"1e999",
        b"nan",
        b"-1",
        b"\xff",
        b"\xed\xa0\x80",
    ),
    *(b"a,1,0\n", b"../../etc/passwd", b"9" * 40, "é".encode(), b"\x1b[2J", b"1_0", b"'"),
]


@st.composite
def changed(draw: st.DrawFn, files: list[bytes], pieces: list[bytes]) -> bytes:
    """One of these files with a few changes, most of them near its beginning."""
    content = bytearray(draw(st.sampled_from(files)))
    for _ in range(draw(st.integers(1, 5))):
        near = draw(st.booleans())
        at = draw(st.integers(0, min(64, len(content)) if near else len(content)))
        kind = draw(
            st.sampled_from(["byte", "piece", "insert", "remove", "end", "splice", "repeat"])
        )
        if kind == "byte":
            content[at : at + 1] = bytes([draw(st.integers(0, 255))])
        elif kind in ("piece", "insert"):
            piece = draw(st.sampled_from(pieces))
            content[at : at + (len(piece) if kind == "piece" else 0)] = piece
        elif kind == "remove":
            del content[at : at + draw(st.integers(1, 40))]
        elif kind == "end":
            del content[at:]
        elif kind == "splice":
            other = draw(st.sampled_from(files))
            content[at:] = other[draw(st.integers(0, len(other))) :]
        else:
            content[at:at] = content[at : at + 200] * draw(st.integers(1, 9))
    return bytes(content)


KINDS = ["byte", "piece", "insert", "remove", "end", "splice", "repeat"]
SOUND_FILES = st.one_of(changed(SOUNDS, WORDS), st.binary(max_size=200))
TABLE_FILES = st.one_of(
    changed(TABLES, MARKS),
    st.lists(st.sampled_from(MARKS), max_size=30).map(b"".join),
    st.binary(max_size=100),
)


def clip_or_error(content: bytes) -> Clip | AudioError:
    try:
        return decode(content, WANTED)
    except AudioError as error:
        return error


AUDIO_CODES = {
    *("unreadable", "no-samples", "not-finite", "silent", "too-loud"),
    *("implausible-rate", "too-many-channels"),
}
"""Codes that `overlap.audio.decode.decode` documents."""


def assert_clip_or_reason(content: bytes) -> None:
    """Assert that decoding gives a clip of the wanted shape, or an error with a readable reason."""
    clip = clip_or_error(content)
    if isinstance(clip, AudioError):
        assert str(clip).isprintable()
        assert "0x" not in str(clip)
        assert clip.code in AUDIO_CODES
        return
    assert clip.samples.shape == (WANTED.samples,)
    assert clip.samples.dtype == np.float32
    assert np.isfinite(clip.samples).all()
    assert clip.samples.any()
    assert {*clip.repairs} <= {"downmixed", "resampled", "padded", "trimmed"}


def assert_table_or_problems(file: Path, content: bytes) -> None:
    """Assert that reading gives a table that matches its header, or problems that name the file."""
    file.write_bytes(content)
    for labels in (True, False):
        problems = Problems()
        table = read_table(Location(str(file)), problems, labels=labels)
        texts = [str(problem) for problem in problems.found]
        assert all(text.startswith(file.name) and text.isprintable() for text in texts)
        if table is None:
            assert problems.fatal
            continue
        assert table.values.shape == (len(table.ids), len(table.words))
        assert len({*table.words}) == len(table.words) > 0
        assert match_ids(["a", "b"], table.ids).shape == (len(table.ids),)
        if labels and not problems.fatal:
            assert np.allclose(table.values.sum(axis=1), 1, atol=1e-3)
            assert (table.values >= 0).all()
