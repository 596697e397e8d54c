"""Decoding and repair of audio files."""

import io
import os
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import numpy as np
import pytest
import soundfile

from overlap.audio.decode import SUFFIXES, Clip, decode, is_audio
from overlap.config import AudioFormat
from overlap.errors import AudioError
from support.errors import raises
from support.trials import trial

RATE = 16000
WANTED = AudioFormat(RATE, RATE)


def tone(seconds: float, rate: int = RATE, hz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hz * np.arange(round(seconds * rate)) / rate)


def encoded(samples: np.ndarray, rate: int = RATE, **kind: str) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate, **({"format": "WAV", "subtype": "PCM_16"} | kind))
    return file.getvalue()


def test_16_bit_samples_are_scaled_exactly() -> None:
    codes = np.array([0, 1, -32768, 32767] * 4000, np.int16)
    clip = decode(encoded(codes), WANTED)
    assert clip.repairs == ()
    assert np.array_equal(clip.samples, codes.astype(np.float32) / 32768)
    assert clip.samples.dtype == np.float32


@pytest.mark.parametrize(
    "kind",
    [
        {"subtype": "PCM_24"},
        {"subtype": "FLOAT"},
        {"subtype": "ALAW"},
        {"format": "FLAC"},
        {"format": "OGG", "subtype": "VORBIS"},
        {"format": "AIFF"},
        {"format": "W64"},
    ],
)
def test_other_formats_are_decoded(kind: dict[str, str]) -> None:
    clip = decode(encoded(tone(1.0), **kind), WANTED)
    assert np.abs(clip.samples - tone(1.0)).max() < 0.1
    assert np.corrcoef(clip.samples, tone(1.0))[0, 1] > 0.99


@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_other_rates_are_resampled(rate: int) -> None:
    clip = decode(encoded(tone(1.0, rate), rate), WANTED)
    assert clip.repairs == ("resampled",)
    middle = slice(1000, 15000)
    assert np.abs(clip.samples[middle] - tone(1.0)[middle]).max() < 0.005


def test_resampling_a_long_file_does_not_alter_the_end_of_the_clip() -> None:
    rate = 44100
    long = np.concatenate([tone(1.0, rate), tone(2.0, rate)])
    clip = decode(encoded(long, rate), WANTED)
    assert clip.repairs == ("resampled", "trimmed")
    assert np.abs(clip.samples[1000:] - tone(1.0)[1000:]).max() < 0.005


def test_stereo_is_downmixed() -> None:
    both = np.stack([tone(1.0), np.zeros(RATE)], axis=1)
    clip = decode(encoded(both), WANTED)
    assert clip.repairs == ("downmixed",)
    assert np.abs(clip.samples - tone(1.0) / 2).max() < 1e-4


def test_short_files_are_padded_and_long_ones_trimmed() -> None:
    short = decode(encoded(tone(0.5)), WANTED)
    assert short.repairs == ("padded",)
    assert short.samples.shape == (RATE,)
    assert not short.samples[RATE // 2 :].any()
    long = decode(encoded(tone(3.0)), WANTED)
    assert long.repairs == ("trimmed",)
    assert np.array_equal(long.samples, decode(encoded(tone(1.0)), WANTED).samples)


def test_clipping_is_detected() -> None:
    assert decode(encoded(np.sign(tone(1.0))), WANTED).clipped
    assert not decode(encoded(tone(1.0)), WANTED).clipped


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "unreadable"),
        (b"plain text instead of an audio file", "unreadable"),
        (encoded(tone(1.0))[:20], "unreadable"),
        (encoded(np.zeros(0)), "no-samples"),
        (encoded(np.zeros(RATE)), "silent"),
        (encoded(np.zeros((RATE, 2))), "silent"),
        (encoded(np.full(RATE, np.nan), subtype="FLOAT"), "not-finite"),
        (encoded(np.full(RATE, np.inf), subtype="FLOAT"), "not-finite"),
        (encoded(32768 * tone(1.0), subtype="FLOAT"), "too-loud"),
    ],
    # libsndfile writes the time into files of floats, and all workers need the same names.
    ids=[
        *("empty", "text", "header", "no-samples", "silent", "silent-stereo"),
        *("nan", "infinite", "too-loud"),
    ],
)
def test_unusable_audio_raises_an_error_with_the_fault(content: bytes, code: str) -> None:
    with raises(AudioError, code):
        decode(content, WANTED)


def test_the_peak_of_loud_audio_is_reported() -> None:
    with raises(AudioError, "too-loud", limit=8.0) as caught:
        decode(encoded(np.full((RATE, 2), 3e38), subtype="FLOAT"), WANTED)
    assert caught.value.fields["peak"] == pytest.approx(3e38, rel=1e-6)
    assert "3e+38" in str(caught.value)


def test_one_sample_is_a_clip() -> None:
    clip = decode(encoded(np.array([0.5])), WANTED)
    assert isinstance(clip, Clip)
    assert clip.samples[0] == 0.5


@pytest.mark.parametrize(
    ("name", "expected"),
    [("a.wav", True), ("a.WAV", True), ("a.flac", True), (".a.wav", False), ("a.txt", False)],
)
def test_clips_are_recognised_by_suffix(name: str, expected: bool) -> None:
    assert is_audio(name) is expected


@pytest.mark.parametrize("rate", [1, 249, 2**20 + 1, 2**31 - 1])
def test_implausible_rates_are_refused(rate: int) -> None:
    with raises(AudioError, "implausible-rate", rate_hz=rate):
        decode(encoded(tone(1.0), rate), WANTED)


def test_channels_beyond_the_memory_limit_are_refused() -> None:
    many = np.full((RATE, 1000), 0.1)
    with raises(AudioError, "too-many-channels", channels=1000, rate_hz=RATE):
        decode(encoded(many, subtype="PCM_U8"), WANTED)


def test_equal_faults_have_equal_reasons() -> None:
    """The reason does not contain libsndfile's name of the object in memory."""
    faults = set()
    for content in (b"no audio", b"this is not audio either"):
        with raises(AudioError, "unreadable") as error:
            decode(content, WANTED)
        faults.add((str(error.value), error.value.fields["fault"]))
    assert faults == {("unreadable (Format not recognised)", "Format not recognised")}


def test_a_header_that_claims_too_many_frames() -> None:
    """An MP3 of half a second whose header claims ten hours is padded, not trimmed."""
    content = bytearray(encoded(tone(0.5), format="MP3", subtype="MPEG_LAYER_III"))
    frames = content.index(b"Xing") + 8
    content[frames : frames + 4] = (10**6).to_bytes(4, "big")
    assert soundfile.info(io.BytesIO(content)).duration > 35000
    clip = decode(bytes(content), WANTED)
    assert clip.repairs == ("padded",)
    assert not clip.samples[-RATE // 4 :].any()


def _apple_double(folder: Path) -> None:
    (folder / ".AppleDouble").mkdir()


def _resource_fork(folder: Path) -> None:
    (folder / "._").write_bytes(b"\x00\x05\x16\x07" + bytes(200))


def _junk(folder: Path) -> None:
    (folder / "._").write_bytes(bytes(range(256)))
    (folder / ".AppleDouble").write_bytes(b"a file, not a folder")


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(
            _apple_double,
            marks=trial(
                "H",
                "a folder `.AppleDouble` in the current folder, clips in MP3",
                source="libsndfile/libsndfile#1112",
                before="every MP3 is unreadable: bad data offset",
                now="the samples are the same as in any other folder",
            ),
        ),
        pytest.param(
            _resource_fork,
            marks=trial(
                "H",
                "a file `._` in the current folder, as macOS writes on network disks",
                source="libsndfile/libsndfile#1112",
                before="every MP3 is unreadable: bad data length",
                now="the samples are the same as in any other folder",
            ),
        ),
        pytest.param(
            _junk,
            marks=trial(
                "H",
                "a file `.AppleDouble` and a damaged `._` in the current folder",
                source="own",
                before="every MP3 is unreadable",
                now="the samples are the same as in any other folder",
            ),
        ),
    ],
)
def test_the_current_folder_changes_no_samples(
    spoil: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = encoded(tone(1.0), format="MP3", subtype="MPEG_LAYER_III")
    expected = decode(content, WANTED)
    spoil(tmp_path)
    monkeypatch.chdir(tmp_path)
    found = decode(content, WANTED)
    assert np.array_equal(found.samples, expected.samples)
    assert found.repairs == expected.repairs


@trial(
    "H",
    "a text file named `.wav`, in a folder with `.AppleDouble`",
    source="own",
    before="the reason in the quarantine depends on the current folder",
    now="the reason is the same in every folder: Format not recognised",
)
def test_the_current_folder_changes_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _apple_double(tmp_path)
    monkeypatch.chdir(tmp_path)
    for content in (b"not a recording " * 20, b"RIFF\0\0\0\0ABCD" + bytes(100)):
        with raises(AudioError, "unreadable", fault="Format not recognised"):
            decode(content, WANTED)


@trial(
    "H",
    "the current folder is removed while clips are decoded",
    source="own",
    before="correct",
    now="clips are decoded",
)
def test_a_removed_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(tone(1.0), format="FLAC")
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    assert decode(content, WANTED).repairs == ()


@trial(
    "H",
    "a system without files in memory or `/proc` (macOS, some containers)",
    source="own",
    before="correct",
    now="the same samples through a private temporary folder, which is empty afterwards",
)
def test_a_system_without_files_in_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = encoded(tone(1.0), format="MP3", subtype="MPEG_LAYER_III")
    expected = decode(content, WANTED).samples
    monkeypatch.delattr(os, "memfd_create")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    assert np.array_equal(decode(content, WANTED).samples, expected)
    assert [*tmp_path.iterdir()] == []


def test_decoding_leaves_no_file_open() -> None:
    content = encoded(tone(1.0), format="MP3", subtype="MPEG_LAYER_III")
    opened = Path("/dev/fd")
    decode(content, WANTED)
    before = len([*opened.iterdir()])
    for _ in range(50):
        decode(content, WANTED)
        with pytest.raises(AudioError):
            decode(b"not a recording", WANTED)
    assert len([*opened.iterdir()]) == before


def test_a_name_of_a_clip_has_the_suffix_that_its_path_has() -> None:
    names = ["a.wav", "A.WAV", "a.b.flac", ".a.wav", ".wav", "x/.wav", "x/a.wav", "x.wav/a", "wav"]
    names += ["", "a.", "a.wav.", "..wav", "x/..wav", "a.txt", "é.wav", "a wav", "x/.a.wav"]
    for name in names:
        path = PurePosixPath(name)
        assert is_audio(name) == (not name.startswith(".") and path.suffix.lower() in SUFFIXES), (
            name
        )
