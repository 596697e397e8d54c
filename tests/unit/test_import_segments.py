"""Import of recordings with times: lists of segments, AudioSet, lhotse manifests."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from overlap.catalog.formats.importing import ImportReport, import_data
from overlap.catalog.formats.source import ImportOptions
from overlap.errors import ConfigError, DataError
from support.errors import raises
from support.labelled_sound import RATE, write_csv, write_json_lines, write_tone, write_tones

SEGMENTS = ("file", "onset", "offset", "event_label")


def imported(source: Path, **options: object) -> tuple[ImportReport, list[str]]:
    """Import a folder as `data` next to it; return the report and the rows of the labels."""
    report = import_data(source, source.parent / "data", ImportOptions(**options))
    return report, (source.parent / "data" / "train_answer.csv").read_text().splitlines()


def refused(source: Path, **options: object) -> dict[str, int]:
    """Return the fatal problems of a source by code."""
    with raises(DataError, "invalid-data") as error:
        import_data(source, source.parent / "refused", ImportOptions(**options))
    return dict(error.value.fields["problems"])


def ramp(file: Path, seconds: float) -> Path:
    """Write a recording whose samples tell their position."""
    file.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(file, np.arange(round(seconds * RATE), dtype=np.int32).astype(np.int16), RATE)
    return file


def test_windows_are_cut_around_short_segments_and_along_long_ones(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ramp(source / "r.wav", 8.0)
    rows = [SEGMENTS, ("r.wav", 1.0, 1.5, "x"), ("r.wav", 4.0, 6.5, "y")]
    write_csv(source / "events.tsv", rows, "\t")
    report, labels = imported(source)
    assert (report.format, report.train) == ("segments", 4)
    assert labels == [
        "id,x,y", "r@750,1.0,0", "r@4000,0,1.0", "r@5000,0,1.0", "r@5500,0,1.0",
    ]  # fmt: skip
    samples, rate = soundfile.read(tmp_path / "data" / "train" / "r@750.wav", dtype="int16")
    assert (rate, samples[0], len(samples)) == (RATE, 0.75 * RATE, RATE)
    groups = (tmp_path / "data" / "groups.csv").read_text().splitlines()
    assert groups[1:] == [f"r@{start},r.wav" for start in (750, 4000, 5000, 5500)]
    sources = (tmp_path / "data" / "sources.csv").read_text().splitlines()
    assert sources[1] == "train,r@750,r.wav,0.750,1.750"


def test_a_window_has_the_words_of_all_segments_in_it(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ramp(source / "r.wav", 3.0)
    rows = [SEGMENTS, ("r.wav", 1.0, 2.0, "x"), ("r.wav", 1.0, 2.0, "y"), ("r.wav", 1.9, 2.9, "z")]
    write_csv(source / "events.csv", rows)
    assert imported(source)[1] == ["id,x,y,z", "r@1000,0.5,0.5,0", "r@1900,0,0,1.0"]


def test_whole_recordings_are_cut_into_windows(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ramp(source / "r.wav", 3.25)
    rows = [SEGMENTS, ("r.wav", 0.2, 0.6, "x"), ("r.wav", 0.5, 1.2, "y")]
    write_csv(source / "events.csv", rows)
    report, labels = imported(source, windows=True, background="none")
    assert labels == [
        "id,none,x,y", "r@0,0,0.5,0.5", "r@500,0,0,1.0", "r@1000,1.0,0,0", "r@1500,1.0,0,0",
        "r@2000,1.0,0,0", "r@2250,1.0,0,0",
    ]  # fmt: skip
    samples, rate = soundfile.read(tmp_path / "data" / "train" / "r@2250.wav", dtype="int16")
    assert (rate, samples[0], len(samples)) == (RATE, 2.25 * RATE - 2**16, RATE)
    groups = (tmp_path / "data" / "groups.csv").read_text().splitlines()
    assert {row.partition(",")[2] for row in groups[1:]} == {"r.wav"}
    assert "windows-without-words" not in {problem.code for problem in report.problems}


def test_windows_without_words_are_left_out_and_counted(tmp_path: Path) -> None:
    source = tmp_path / "source"
    ramp(source / "r.wav", 4.0)
    write_csv(source / "e.csv", [SEGMENTS, ("r.wav", 0.2, 0.6, "x"), ("r.wav", 1.0, 2.0, "y")])
    report, labels = imported(source, windows=True, hop_seconds=1.0)
    assert labels == ["id,x,y", "r@0,1.0,0", "r@1000,0,1.0"]
    left_out = next(one for one in report.problems if one.code == "windows-without-words")
    assert str(left_out).startswith("2 windows")


def test_windows_of_lhotse_belong_to_the_only_speaker(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_json_lines(source / "c_supervisions_train.jsonl.gz", manifests(source))
    assert imported(source, windows=True)[1] == [
        "id,no,yes", "audio__r@0,0,1.0", "audio__r@500,0,1.0", "audio__r@1500,1.0,0",
        "audio__r@2000,1.0,0",
    ]  # fmt: skip
    groups = (tmp_path / "data" / "groups.csv").read_text().splitlines()
    assert {row.partition(",")[2] for row in groups[1:]} == {"s1"}


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"hop_seconds": 0.5}, "needs-windows"),
        ({"background": "none"}, "needs-windows"),
        ({"windows": True, "hop_seconds": 1.5}, "hop-out-of-range"),
        ({"windows": True, "hop_seconds": 0.001}, "hop-out-of-range"),
        ({"windows": True, "hop_seconds": float("nan")}, "hop-out-of-range"),
    ],
)
def test_options_of_windows_that_do_not_fit(options: dict[str, object], code: str) -> None:
    with raises(ConfigError, code):
        ImportOptions(**options)


def test_windows_need_labels_with_times(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", ("a.wav", "b.wav"), seconds=1.0)
    write_csv(source / "e.csv", [("file", "label"), ("a.wav", "x"), ("b.wav", "y")])
    with raises(ConfigError, "windows-need-times", format="one-label"):
        imported(source, windows=True)


def test_files_that_are_cut_already_stay(tmp_path: Path) -> None:
    """The times refer to the original recording; the file has the length of the segment."""
    source = write_tones(tmp_path / "source", ("a.wav", "b.wav"), seconds=1.0)
    write_csv(source / "e.csv", [SEGMENTS, ("a.wav", 30, 31, "x"), ("b.wav", 0, 1, "y")])
    report, labels = imported(source)
    assert labels == ["id,x,y", "a,1.0,0", "b,0,1.0"]
    assert (tmp_path / "data" / "train" / "a.wav").is_symlink()
    assert "cut-clips" not in {problem.code for problem in report.problems}


AUDIOSET = """\
# Segments csv created Sun Mar  5 10:54:31 2017
# num_ytids=3, num_segs=3, num_unique_labels=3, num_positive_labels=4
# YTID, start_seconds, end_seconds, positive_labels
--PJHxphWEs, 30.000, 40.000, "/m/09x0r,/t/dd00088"
b0RFKhbpFJA, 0.000, 10.000, "/m/03m9d0z"
gone, 5.000, 15.000, "/m/09x0r"
"""
CLASSES = [
    ("index", "mid", "display_name"), (0, "/m/09x0r", "Speech"), (1, "/m/03m9d0z", "Wind"),
    (2, "/t/dd00088", "Child speech, kid speaking"),
]  # fmt: skip


def test_lists_of_audioset_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_tone(source / "audio" / "Y--PJHxphWEs.wav", 200, 10.0, 8000)
    write_tone(source / "audio" / "b0RFKhbpFJA_0.flac", 300, 10.0, 8000)
    (source / "balanced_train_segments.csv").write_text(AUDIOSET)
    write_csv(source / "class_labels_indices.csv", CLASSES)
    assert refused(source) == {"missing-files": 1}
    report, labels = imported(source, skip_missing=True, clip_seconds=10.0)
    assert report.format == "segments"
    assert "AudioSet" in report.reason
    assert labels == [
        'id,"Child speech, kid speaking",Speech,Wind', "audio__Y--PJHxphWEs,0.5,0.5,0",
        "audio__b0RFKhbpFJA_0,0,0,1.0",
    ]  # fmt: skip
    write_csv(source / "class_labels_indices.csv", CLASSES[:2])
    assert refused(source, skip_missing=True) == {"unknown-labels": 2}


@pytest.mark.parametrize(
    ("row", "problems"),
    [
        (("r.wav", 1, 20, "x"), {"times-outside-recording": 1}),
        (("r.wav", 1, 1, "x"), {"invalid-times": 1}),
        (("r.wav", "nan", 1, "x"), {"invalid-times": 1}),
        (("r.wav", "1,5", 2, "x"), {"invalid-times": 1}),
        (("r.wav", 0, 1, ""), {"clips-without-label": 1}),
        (("../r.wav", 0, 1, "x"), {"path-leaves-folder": 1}),
        (("none.wav", 0, 1, "x"), {"missing-files": 1}),
        (("bad.wav", 0, 1, "x"), {"unreadable-recordings": 1}),
    ],
)
def test_hostile_segments_are_refused(
    tmp_path: Path, row: tuple[object, ...], problems: dict[str, int]
) -> None:
    source = tmp_path / "source"
    ramp(source / "r.wav", 3.0)
    (source / "bad.wav").write_bytes(b"no sound")
    write_csv(source / "e.csv", [SEGMENTS, ("r.wav", 0, 1, "y"), row])
    assert refused(source) == problems


def manifests(folder: Path, text: str = "yes") -> list[dict[str, object]]:
    """Write a recording of 3 s with its manifest; return two supervisions."""
    ramp(folder / "audio" / "r.wav", 3.0)
    recording = {
        "id": "rec-1", "sources": [{"type": "file", "channels": [0], "source": "audio/r.wav"}],
        "sampling_rate": RATE, "num_samples": 3 * RATE, "duration": 3.0, "channel_ids": [0],
    }  # fmt: skip
    write_json_lines(folder / "c_recordings_train.jsonl.gz", [recording])
    shared = {"recording_id": "rec-1", "channel": 0, "duration": 1.0, "speaker": "s1"}
    return [
        {"id": "s-1", "start": 0.0, "text": text, **shared},
        {"id": "s-2", "start": 2.0, "text": "no", **shared},
    ]


def test_lhotse_manifests_are_read(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_json_lines(source / "c_supervisions_train.jsonl.gz", manifests(source))
    report, labels = imported(source)
    assert report.format == "lhotse"
    assert labels == ["id,no,yes", "audio__r@0,0,1.0", "audio__r@2000,1.0,0"]
    assert (tmp_path / "data" / "groups.csv").read_text().splitlines()[1] == "audio__r@0,s1"


def test_texts_of_several_words_have_two_readings(tmp_path: Path) -> None:
    source = tmp_path / "source"
    write_json_lines(source / "c_supervisions_train.jsonl.gz", manifests(source, "yes no"))
    with raises(DataError, "ambiguous-separator"):
        import_data(source, tmp_path / "data")
    assert imported(source, separator=" ")[1][1] == "audio__r@0,0.5,0.5"


@pytest.mark.parametrize(
    ("change", "problems"),
    [
        ({"recording_id": "rec-2"}, {"unknown-recordings": 1}),
        ({"start": -1}, {"malformed-manifest": 1}),
        ({"duration": "1"}, {"malformed-manifest": 1}),
        ({"text": None}, {"clips-without-label": 1}),
        ({"start": 2.9}, {"times-outside-recording": 1}),
    ],
)
def test_hostile_manifests_are_refused(
    tmp_path: Path, change: dict[str, object], problems: dict[str, int]
) -> None:
    source = tmp_path / "source"
    first, second = manifests(source)
    write_json_lines(source / "c_supervisions_train.jsonl.gz", [first, {**second, **change}])
    assert refused(source) == problems


@pytest.mark.parametrize(
    ("origin", "code"),
    [
        ({"type": "command", "source": "touch /tmp/x"}, "unsupported-source"),
        ({"type": "url", "source": "https://example.org/r.wav"}, "unsupported-source"),
        ({"type": "file", "source": "/etc/passwd"}, "path-leaves-folder"),
        ({"type": "file", "source": "audio/../../r.wav"}, "path-leaves-folder"),
        ({"type": "file", "source": "audio/none.wav"}, "missing-files"),
    ],
)
def test_recordings_elsewhere_are_refused(
    tmp_path: Path, origin: dict[str, object], code: str
) -> None:
    source = tmp_path / "source"
    write_json_lines(source / "c_supervisions_train.jsonl.gz", manifests(source))
    recordings = [{"id": "rec-1", "sources": [{"channels": [0], **origin}]}]
    write_json_lines(source / "c_recordings_train.jsonl.gz", recordings)
    assert refused(source) == {code: 1}


def test_damaged_gzip_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "source"
    file = write_json_lines(source / "c_supervisions_train.jsonl.gz", manifests(source))
    file.write_bytes(file.read_bytes()[:-20])
    assert refused(source) == {"malformed-gzip": 0}
