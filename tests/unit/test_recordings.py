"""Recordings of any length: streams, windows, pooling, segments, files, faults, memory."""

import csv
import io
import re
import shutil
import tarfile
import tracemalloc
import zipfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

import overlap
from flows.cli.commands.predict import predict
from overlap.audio import mp3_length
from overlap.audio.decode import decode
from overlap.audio.mp3_length import mp3_seconds
from overlap.audio.stream import Block, open_recording
from overlap.audio.windows import IGNORED_TAIL, window_starts
from overlap.catalog.problems import DataWarning
from overlap.config import AudioFormat, FeatureConfig
from overlap.ensemble.pooling import pool_mean
from overlap.errors import AudioError, ConfigError, DataError, UserError
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.recordings import prediction
from overlap.recordings.folder import WindowOptions, list_recordings, predict_recordings
from overlap.recordings.pooling import PooledWindows, window_pool
from overlap.recordings.prediction import RecordingEnd, WindowPredictor, predict_windows
from overlap.recordings.recording_tables import RAVEN_COLUMNS
from overlap.recordings.segments import SegmentMerger
from overlap.recordings.windows import cut_windows, hop_samples
from support.earlier_workspace import ARCHIVE
from support.errors import raises
from support.hostile_audio import CONTENTS, HEADERS, hour_of_mp3
from support.hostile_cases import Case
from support.view_client import add_graphs

RATE = 8000
CLIP = 2000
WORDS = ("loud", "quiet", "start_s")
FEATURES = FeatureConfig(sample_rate=RATE, clip_seconds=CLIP / RATE, n_mels=16)


class LevelNetwork:
    """A network whose first word is louder sound; its predictions depend on one clip each."""

    def predict_on_batch(self, decibels: np.ndarray) -> np.ndarray:
        level = decibels.astype(np.float64).reshape(len(decibels), -1).mean(axis=1)
        loud = 1 / (1 + np.exp(-(level + 30) / 3))
        return np.stack([loud, 0.75 * (1 - loud), 0.25 * (1 - loud)], axis=1)


ENSEMBLE = WindowPredictor(FEATURES, (LevelNetwork(), LevelNetwork()), pool_mean, WORDS)


def noise(samples: int, seed: int = 0, channels: int = 1) -> np.ndarray:
    random = np.random.default_rng(seed)
    return (random.standard_normal((samples, channels)) * 0.1).astype(np.float32)


def saved(path: Path, samples: np.ndarray, rate: int = RATE, **options) -> Path:
    path.parent.mkdir(exist_ok=True)
    soundfile.write(path, samples, rate, **options)
    return path


def predicted(folder: Path, out: Path, **options):
    return predict_recordings(list_recordings(folder), ENSEMBLE, WindowOptions(**options), out)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return [*csv.DictReader(file)]


# --- streams -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rate", "channels", "suffix"),
    [
        (8000, 1, "wav"),
        (8000, 2, "flac"),
        (11025, 1, "ogg"),
        (44100, 2, "wav"),
        (48000, 1, "mp3"),
        (16000, 2, "mp3"),
        (44100, 1, "aiff"),
    ],
)
def test_a_stream_has_the_samples_of_the_decoder(
    tmp_path: Path, rate: int, channels: int, suffix: str
) -> None:
    file = saved(tmp_path / f"a.{suffix}", noise(2 * rate + 77, channels=channels), rate)
    with open_recording(Location.of(file), RATE) as stream:
        found = np.concatenate([block.samples for block in stream.blocks()])
    expected = decode(file.read_bytes(), AudioFormat(RATE, len(found))).samples
    assert np.array_equal(found, expected)
    assert len(found) >= 2 * RATE - 1
    assert stream.damage == ""


def test_a_stream_from_an_archive(tmp_path: Path) -> None:
    file = saved(tmp_path / "a.flac", noise(5000))
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.write(file, "in/a.flac")
    with open_recording(Location.of(f"zip://in/a.flac::{tmp_path}/z.zip"), RATE) as stream:
        assert sum(len(block.samples) for block in stream.blocks()) == 5000


@pytest.mark.parametrize("buffer", [100, 1 << 20])
def test_the_length_of_an_mp3(tmp_path: Path, buffer: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mp3_length, "BUFFER_BYTES", buffer)
    for rate in (16000, 44100):
        file = saved(tmp_path / "a.mp3", noise(3 * rate), rate)
        with file.open("rb") as opened:
            assert mp3_seconds(opened) == pytest.approx(3, abs=0.2)


def test_an_mp3_without_its_length(tmp_path: Path) -> None:
    """libsndfile estimates the length from the first bit rate."""
    content = hour_of_mp3()
    (tmp_path / "a.mp3").write_bytes(content[: len(content) // 50])
    with open_recording(Location.of(tmp_path / "a.mp3"), RATE) as stream:
        read = sum(len(block.samples) for block in stream.blocks()) / RATE
    assert stream.damage.startswith(f"only the first {read:.1f} s of 7")


QUICK = [case for case in HEADERS + CONTENTS if not re.search("hour|minutes|655", case.name)]
CHANNELS = "too-many-channels"
"""A stream has no limit of channels, because blocks are small."""


def first_window(file: Path) -> tuple[np.ndarray | AudioError, str]:
    """The samples of the first second or its error, and the damage of the file."""
    try:
        with open_recording(Location.of(file), 16000) as stream:
            windows = [*cut_windows(stream.blocks(), 16000, 16000)]
            return windows[0].samples, stream.damage
    except AudioError as error:
        return error, ""


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_hostile_files_have_the_windows_of_their_clips(case: Case, tmp_path: Path) -> None:
    file = tmp_path / case.file_name
    case.write(file)
    first, damage = first_window(file)
    clip: np.ndarray | AudioError
    try:
        clip = decode(file.read_bytes(), AudioFormat(16000, 16000)).samples
    except AudioError as error:
        clip = error
    if not isinstance(clip, AudioError):
        assert np.array_equal(first, clip)
    elif clip.code != CHANNELS and not damage:  # what was decoded before the damage is used
        assert isinstance(first, AudioError)
        assert first.code == clip.code


def test_a_recording_that_cannot_be_opened(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.zip", "w") as archive:
        archive.writestr("other", b"")
    for address in (tmp_path / "none.wav", f"zip://none.wav::{tmp_path}/z.zip"):
        with raises(AudioError, "not-opened"), open_recording(Location.of(address), RATE):
            pass
    (tmp_path / "m4a.wav").write_bytes(b"\0\0\0 ftypM4A " + bytes(100))
    with raises(AudioError, "unreadable") as error:
        open_recording(Location.of(tmp_path / "m4a.wav"), RATE).__enter__()
    assert "ffmpeg" in str(error.value)


# --- windows -----------------------------------------------------------------------------------


@given(
    total=st.integers(1, 300),
    length=st.integers(1, 40),
    part=st.floats(0.01, 1),
    sizes=st.lists(st.integers(0, 70), min_size=1, max_size=9),
)
def test_windows_cover_a_recording(total: int, length: int, part: float, sizes: list[int]) -> None:
    hop = max(1, int(part * length))
    samples = np.arange(1, total + 1, dtype=np.float32)
    edges = [0, *np.minimum(np.cumsum(sizes), total), total]
    found = [*cut_windows((Block(samples[a:b]) for a, b in pairwise(edges)), length, hop)]
    if total < length:
        assert [(one.start, one.stop) for one in found] == [(0, total)]
        assert np.array_equal(found[0].samples[:total], samples)
        assert not found[0].samples[total:].any()
        return
    for window in found:
        assert np.array_equal(window.samples, samples[window.start : window.start + length])
    assert [one.start for one in found] == window_starts(total, length, hop)
    assert total - found[-1].stop < max(1, IGNORED_TAIL * length)


def test_a_hop_is_at_most_a_window() -> None:
    assert hop_samples(None, RATE, CLIP) == 1000
    assert hop_samples(0.25, RATE, CLIP) == CLIP
    for seconds in (0.26, 0.0, -1.0, np.nan, np.inf):
        with raises(ConfigError, "hop-out-of-range", field="hop_seconds"):
            hop_samples(seconds, RATE, CLIP)


def test_a_window_has_the_features_of_the_clip_that_is_cut_out(tmp_path: Path) -> None:
    samples = noise(9 * CLIP + 123)
    file = saved(tmp_path / "a.wav", samples)
    seen: list[np.ndarray] = []

    class Recorder(LevelNetwork):
        def predict_on_batch(self, decibels: np.ndarray) -> np.ndarray:
            seen.extend(decibels)
            return super().predict_on_batch(decibels)

    ensemble = WindowPredictor(FEATURES, (Recorder(),), pool_mean, WORDS)
    windows = [*predict_windows([Location.of(file)], ensemble, 700)][:-1]
    stored = soundfile.read(file, dtype="float32")[0]
    for window, decibels in zip(windows, seen, strict=False):
        start = round(window.start * RATE)
        clip = np.ascontiguousarray(stored[None, start : start + CLIP])
        assert np.array_equal(compute_features(clip, FEATURES)[0], decibels)
    assert windows[-1].end == len(samples) / RATE


def test_windows_of_several_recordings_share_batches(tmp_path: Path) -> None:
    files = [Location.of(saved(tmp_path / f"{i}.wav", noise(900 * i, i))) for i in range(1, 9)]
    together = [*predict_windows(files, ENSEMBLE, 500)]
    for index, file in enumerate(files):
        alone = [*predict_windows([file], ENSEMBLE, 500)]
        shared = [one for one in together if one.recording == index]
        assert [type(one) for one in alone] == [type(one) for one in shared]
        for one, other in zip(alone[:-1], shared[:-1], strict=True):
            assert np.array_equal(one.probabilities, other.probabilities)
    assert [one.recording for one in together] == sorted(one.recording for one in together)


# --- pooling and segments -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("mean", [0.4, 0.6]), ("max", [0.5, 0.7]), ("noisy-or", [0.65, 1 - 0.5 * 0.3])],
)
def test_pooling(name: str, expected: list[float]) -> None:
    pooled = PooledWindows(window_pool(name), 2)
    assert pooled.result is None
    pooled.add(np.array([0.3, 0.7]))
    assert pooled.result == pytest.approx([0.3, 0.7], abs=1e-15)
    pooled.add(np.array([0.5, 0.5]))
    assert pooled.result == pytest.approx(expected, abs=1e-12)


def test_an_unknown_pool_is_refused() -> None:
    with raises(ConfigError, "unknown-window-pool", field="pool"):
        window_pool("median")


def test_consecutive_windows_are_merged() -> None:
    merger = SegmentMerger(("a", "b"), 0.5)
    series = [(0.9, 0.1), (0.6, 0.5), (0.1, 0.8), None, (0.1, 0.7), (0.5, 0.5)]
    found = []
    for index, pair in enumerate(series):
        shares = None if pair is None else np.array(pair)
        found += merger.add(index * 0.5, index * 0.5 + 1, shares)
    found += merger.finish()
    assert [tuple(vars(one).values()) for one in found] == [
        ("a", 0.0, 1.5, 0.9, 0.5, 2),
        ("b", 0.5, 2.0, 0.8, 1.5, 2),
        ("b", 2.0, 3.5, 0.7, 2.5, 2),
        ("a", 2.5, 3.5, 0.5, 3.0, 1),
    ]  # fmt: skip


def test_the_background_has_no_segments(tmp_path: Path) -> None:
    saved(tmp_path / "in" / "a.wav", noise(3 * CLIP) * 1e-3)
    assert predicted(tmp_path / "in", tmp_path / "all").segments == 1
    report = predicted(tmp_path / "in", tmp_path / "some", background="quiet")
    assert report.segments == 0
    assert float(rows(tmp_path / "some" / "recordings.csv")[0]["quiet"]) > 0.5
    with raises(ConfigError, "unknown-word", field="background"):
        predicted(tmp_path / "in", tmp_path / "none", background="nothing")


# --- files ---------------------------------------------------------------------------------------


def test_the_files_have_the_formats_that_programs_read(tmp_path: Path) -> None:
    samples = noise(10 * RATE) * 0.01
    samples[3 * RATE : 4 * RATE] *= 300
    saved(tmp_path / "in" / "field.flac", samples.clip(-1, 1))
    saved(tmp_path / "in" / "short.wav", noise(500))
    report = predicted(tmp_path / "in", tmp_path / "out", threshold=0.7, pool="max")
    assert report.repairs == {"padded": 1}
    out = tmp_path / "out"
    windows, recordings, segments = (
        rows(out / f"{name}.csv") for name in ("windows", "recordings", "segments")
    )
    assert [*windows[0]] == ["id", "start_s_", "end_s", *WORDS, "spread", "problem"]
    assert [row["start_s_"] for row in windows[:3]] == ["0", "0.125", "0.25"]
    assert len(windows) == report.windows == 79 + 1
    assert [(row["id"], row["windows"]) for row in recordings] == [("field", "79"), ("short", "1")]
    pooled = pd.DataFrame(windows[:79])["loud"].astype(float).max()
    assert float(recordings[0]["loud"]) == pytest.approx(pooled, abs=1e-8)
    loud = [row for row in segments if row["id"] == "field" and row["word"] == "loud"]
    assert [(row["start_s"], row["end_s"]) for row in loud] == [("2.875", "4.125")]
    label = (out / "audacity" / "field.txt").read_text().splitlines()
    start, end, text = next(line for line in label if "loud" in line).split("\t")
    assert (start, end, text) == ("2.875000", "4.125000", f"loud {loud[0]['probability']}")
    raven = [
        line.split("\t")
        for line in (out / "raven" / "field.selections.txt").read_text().splitlines()
    ]
    assert tuple(raven[0]) == RAVEN_COLUMNS
    assert [row[0] for row in raven[1:]] == [str(i + 1) for i in range(len(raven) - 1)]
    row = dict(zip(raven[0], next(one for one in raven[1:] if "loud" in one), strict=True))
    assert row["View"] == "Spectrogram 1"
    assert (row["Begin Time (s)"], row["End Time (s)"]) == ("2.875", "4.125")
    assert row["Begin Path"] == str(tmp_path / "in" / "field.flac")
    assert row["High Freq (Hz)"] == "4000"


def test_the_folder_must_be_absent_or_empty(tmp_path: Path) -> None:
    saved(tmp_path / "in" / "a.wav", noise(CLIP))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("kept")
    with raises(UserError, "folder-not-empty"):
        predicted(tmp_path / "in", tmp_path / "out")
    assert [one.name for one in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_an_interrupted_prediction_leaves_nothing(tmp_path: Path) -> None:
    saved(tmp_path / "in" / "a.wav", noise(400 * CLIP))

    class Interrupted(LevelNetwork):
        calls = 0

        def predict_on_batch(self, decibels: np.ndarray) -> np.ndarray:
            self.calls += 1
            if self.calls == 2:
                raise KeyboardInterrupt
            return super().predict_on_batch(decibels)

    ensemble = WindowPredictor(FEATURES, (Interrupted(),), pool_mean, WORDS)
    with pytest.raises(KeyboardInterrupt):
        predict_recordings(
            list_recordings(tmp_path / "in"), ensemble, WindowOptions(), tmp_path / "out"
        )
    assert [one.name for one in tmp_path.iterdir()] == ["in"]


# --- faults --------------------------------------------------------------------------------------


def test_faults_belong_to_their_recordings_and_windows(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    whole = saved(folder / "b_cut.flac", noise(40 * CLIP))
    whole.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (folder / "c_text.wav").write_text("no sound at all")
    saved(folder / "d_empty.wav", noise(0))
    samples = noise(10 * CLIP)
    samples[4 * CLIP + 10] = np.nan
    samples[7 * CLIP + 10] = 99
    samples[: 2 * CLIP] = 0
    saved(folder / "e_parts.wav", samples, subtype="FLOAT")
    saved(folder / "f_silent.wav", np.zeros(3 * CLIP))
    saved(folder / "g_good.wav", noise(3 * CLIP))
    report = predicted(folder, tmp_path / "out", hop_seconds=CLIP / RATE)
    assert report.recordings == 6
    assert report.unusable == ["c_text", "d_empty", "f_silent"]
    assert sorted(report.problems) == ["b_cut", "c_text", "d_empty", "f_silent"]
    found = {row["id"]: row for row in rows(tmp_path / "out" / "recordings.csv")}
    assert found["b_cut"]["problem"].startswith("damaged after 4.")
    assert 15 <= int(found["b_cut"]["windows"]) < 20
    assert found["c_text"]["problem"].startswith("unreadable")
    assert found["c_text"]["loud"] == found["f_silent"]["loud"] == ""
    assert found["g_good"]["problem"] == ""
    windows = [one for one in rows(tmp_path / "out" / "windows.csv") if one["id"] == "e_parts"]
    reasons = [one["problem"].partition(" (")[0] for one in windows]
    assert reasons == ["silent"] * 2 + [""] * 2 + ["not finite", "", "", "too loud", "", ""]
    assert all((one["loud"] == "") == (one["problem"] != "") for one in windows)
    assert found["e_parts"]["unusable_windows"] == "4"


def test_a_window_beside_a_fault_equals_that_of_a_sound_recording(tmp_path: Path) -> None:
    samples = noise(6 * CLIP)
    good = saved(tmp_path / "a.wav", samples, subtype="FLOAT")
    samples[3 * CLIP - 1] = np.inf
    bad = saved(tmp_path / "b.wav", samples, subtype="FLOAT")
    pairs = zip(
        *([*predict_windows([Location.of(file)], ENSEMBLE, 500)] for file in (good, bad)),
        strict=True,
    )
    for one, other in pairs:
        if not isinstance(one, RecordingEnd):
            covers = one.start * RATE <= 3 * CLIP - 1 < one.end * RATE
            assert (other.probabilities is None) == covers
            assert covers or np.array_equal(one.probabilities, other.probabilities)


def test_without_a_usable_recording_nothing_is_written(tmp_path: Path) -> None:
    saved(tmp_path / "in" / "a.wav", np.zeros(CLIP))
    with raises(DataError, "no-usable-recording"):
        predicted(tmp_path / "in", tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("threshold", [0.0, -1.0, 1.1, np.nan])
def test_a_threshold_is_a_probability(threshold: float) -> None:
    with raises(ConfigError, "threshold-out-of-range", field="threshold"):
        WindowOptions(threshold=threshold)


# --- memory --------------------------------------------------------------------------------------


def test_memory_does_not_grow_with_the_recording(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction, "batch_clips", lambda _features, _most: 32)
    peaks = []
    for minutes in (1, 8):
        file = tmp_path / f"{minutes}.wav"
        with soundfile.SoundFile(file, "w", RATE, 1, subtype="PCM_16") as sound:
            for second in range(60 * minutes):
                sound.write(noise(RATE, second))
        [*predict_windows([Location.of(file)], ENSEMBLE, CLIP)][-1]
        tracemalloc.start()
        windows = sum(1 for _ in predict_windows([Location.of(file)], ENSEMBLE, CLIP))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
        assert windows == 240 * minutes + 1
    more = 4 * RATE * 60 * 7
    assert peaks[1] < peaks[0] + 0.1 * more


# --- a trained ensemble, and the command ---------------------------------------------------------


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The workspace of release 0.1.0 with inference graphs."""
    folder = tmp_path_factory.mktemp("trained")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    add_graphs(Location.of(folder / "workspace"))
    return folder / "workspace"


@pytest.mark.parametrize(("rate", "channels"), [(8000, 1), (44100, 2), (16000, 1)])
def test_a_recording_of_one_clip_equals_the_clip(
    trained: Path, tmp_path: Path, rate: int, channels: int
) -> None:
    ensemble = overlap.load_ensemble(trained)
    seconds = ensemble.features.clip_samples / ensemble.features.sample_rate
    for name, part in (("whole", 1.0), ("short", 0.6)):
        length = round(rate * seconds * part)
        saved(tmp_path / "in" / f"{name}.wav", noise(length, channels=channels), rate)
        clip = ensemble.predict(tmp_path / "in" / f"{name}.wav")
        window = ensemble.predict_recording(tmp_path / "in" / f"{name}.wav")
        columns = [*ensemble.words, "spread"]
        assert len(window) == 1
        assert np.allclose(clip[columns], window[columns], rtol=0, atol=1e-6)
    for pool in ("mean", "max", "noisy-or"):
        predict_recordings(
            list_recordings(tmp_path / "in"), ensemble.window_predictor,
            WindowOptions(pool=window_pool(pool)), tmp_path / pool,
        )  # fmt: skip
        table = pd.read_csv(tmp_path / pool / "recordings.csv", index_col="id")
        clips = ensemble.predict(tmp_path / "in").loc[table.index]
        assert np.allclose(clips[columns], table[columns], rtol=0, atol=1e-6)


def test_a_recording_in_a_notebook(trained: Path, tmp_path: Path) -> None:
    ensemble = overlap.load_ensemble(trained)
    file = saved(tmp_path / "a.flac", noise(20 * CLIP), ensemble.features.sample_rate)
    table = ensemble.predict_recording(file, hop_seconds=0.125)
    assert [*table.columns[:2]] == ["start_s", "end_s"]
    assert np.allclose(table[[*ensemble.words]].sum(axis=1), 1)
    file.write_bytes(file.read_bytes()[:20000])
    with pytest.warns(DataWarning, match="damaged"):
        assert len(ensemble.predict_recording(file)) < len(table)
    file.write_bytes(b"")
    with raises(AudioError, "unusable-recording"):
        ensemble.predict_recording(file)


def test_the_command(trained: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    workspace = Path(shutil.copytree(trained, tmp_path / "W"))
    saved(tmp_path / "in" / "a.wav", noise(4 * CLIP))
    (tmp_path / "in" / "b.wav").write_bytes(b"")
    predict(
        [str(tmp_path / "in")], out=str(tmp_path / "out"), workspace=str(workspace),
        recordings=True, threshold=0.1,
    )  # fmt: skip
    printed = capsys.readouterr()
    assert "2 recordings of" in printed.out
    assert "note: b: unreadable" in printed.err
    found = pd.read_csv(io.StringIO((tmp_path / "out" / "recordings.csv").read_text()))
    assert [*found["id"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"hop_seconds": 0.5}, "needs-recordings"),
        ({"window_pool": "max"}, "needs-recordings"),
        ({"threshold": 0.5}, "needs-recordings"),
        ({"background": "none"}, "needs-recordings"),
        ({"recordings": True, "cluster": "tcp://host:8786"}, "recordings-without-cluster"),
        ({"recordings": True, "out": "-"}, "out-not-local"),
        ({"recordings": True, "out": "s3://bucket/out"}, "out-not-local"),
        ({"recordings": True, "window_pool": "median"}, "unknown-window-pool"),
    ],
)
def test_options_that_do_not_fit(tmp_path: Path, options: dict, code: str) -> None:
    with raises(UserError, code):
        predict([str(tmp_path)], **{"out": str(tmp_path / "out")} | options)
