"""Every hostile audio file has its documented outcome; none ends a run or exhausts the memory."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overlap.audio.clips import load_clip
from overlap.audio.decode import Clip
from overlap.catalog import Catalog, CatalogReport, build_catalog, list_clips, list_data
from overlap.catalog.inspection import BATCH
from overlap.config import AudioFormat, ChecksConfig, FeatureConfig
from overlap.errors import AudioError, DataError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.prediction.batches import batches
from overlap.prediction.jobs import PredictionChunk
from support import hostile_audio
from support.errors import raises
from support.fault_tables import FOLDER, markdown, write_table
from support.hostile_audio import (
    AUDIO,
    CONTENTS,
    HEADERS,
    IN_ONE_FOLDER,
    NO_FILE,
    NO_FILES,
    NOT_LISTED,
)
from support.hostile_cases import (
    COLUMNS,
    LEFT_OUT,
    QUARANTINED,
    REFUSED,
    REPAIRED,
    TONE,
    USED,
    Case,
    encoded,
    links_to,
)
from support.hostile_tables import TABLES
from support.processes import OVERLAP

WANTED = AudioFormat(16000, 16000)
ANY = ChecksConfig(max_bad_fraction=1.0)


def stem(case: Case) -> str:
    return case.file_name.rpartition(".")[0]


def data_of(folder: Path, cases: list[Case], named: list[Case] | None = None) -> Path:
    """Write a data set whose training clips are these cases and one valid clip."""
    train = folder / "train"
    train.mkdir(parents=True)
    (folder / "outside.wav").write_bytes(encoded(TONE))
    (train / "good.wav").write_bytes(encoded(TONE))
    for case in cases:
        case.write(train / case.file_name)
    with (folder / "train_answer.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "yes", "no"))
        rows.writerow(("good", 1, 0))
        rows.writerows((stem(case), 1, 0) for case in (cases if named is None else named))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data set with all cases that can be in one folder."""
    top = tmp_path_factory.mktemp("hostile") / "data"
    return data_of(top, [*IN_ONE_FOLDER, *NO_FILES], IN_ONE_FOLDER)


@pytest.fixture(scope="module")
def report(folder: Path) -> CatalogReport:
    """The catalogue of that data set."""
    return build_catalog(list_data(folder), WANTED, ANY)


def test_names_of_cases_are_unique() -> None:
    for names in (
        [c.name for c in AUDIO],
        [stem(c) for c in IN_ONE_FOLDER],
        [c.name for c in TABLES],
    ):
        assert len(names) == len(set(names))
    assert len(AUDIO) + len(TABLES) >= 60


@pytest.mark.parametrize("case", IN_ONE_FOLDER, ids=lambda case: case.name)
def test_a_hostile_audio_file(folder: Path, report: CatalogReport, case: Case) -> None:
    clips = report.catalog.clips
    (row,) = clips.index[clips["file"] == f"train/{case.file_name}"]
    clip = clips.loc[row]
    if case.outcome == QUARANTINED:
        with raises(AudioError, case.code) as error:
            load_clip(Location.of(folder / "train"), case.file_name, WANTED)
        assert clip["state"] == "quarantined"
        assert clip["reason"] == str(error.value)
        assert all(fact in clip["reason"] for fact in case.facts)
        assert clip["digest"] == clip["repairs"] == ""
        return
    assert clip["state"] == "ok"
    assert len(clip["digest"]) == 32
    assert clip["repairs"] == case.code
    assert case.outcome == (REPAIRED if case.code else USED)


def test_entries_that_are_not_regular_files_are_ignored_and_reported(
    report: CatalogReport,
) -> None:
    (problem,) = [one for one in report.problems if one.code == NO_FILE]
    assert problem.count == len(NO_FILES)
    assert all((case.outcome, case.code) == (LEFT_OUT, NO_FILE) for case in NO_FILES)
    assert not {*report.catalog.clips["file"]} & {f"train/{case.file_name}" for case in NO_FILES}


@pytest.mark.parametrize("case", NO_FILES, ids=lambda case: case.name)
def test_entries_that_are_not_regular_files_cannot_have_a_label(tmp_path: Path, case: Case) -> None:
    # outside.wav lies in the top folder.
    warnings = (("unused-files", 1), (NO_FILE, 1))
    expected = {"problems": (("ids-without-file", 1),), "warnings": warnings}
    with raises(DataError, "invalid-data", **expected) as error:
        build_catalog(list_data(data_of(tmp_path / "d", [case])), WANTED, ANY)
    assert f": {stem(case)}\n" in str(error.value)
    assert f": train/{case.file_name}" in str(error.value)


@pytest.mark.parametrize("case", NOT_LISTED, ids=lambda case: case.name)
def test_a_name_that_is_refused(tmp_path: Path, case: Case) -> None:
    top = data_of(tmp_path / "d", [case], [])
    for refused in (
        lambda: build_catalog(list_data(top), WANTED, ANY),
        lambda: list_clips(top / "train").problems.raise_if_fatal("train"),
    ):
        with raises(DataError, "invalid-data") as error:
            refused()
        str(error.value).encode()
        assert case.code in dict(error.value.fields["problems"])
    assert case.outcome == REFUSED


def test_a_folder_of_refused_names_only(tmp_path: Path) -> None:
    case = NOT_LISTED[0]
    case.write(tmp_path / case.file_name)
    with raises(DataError, "invalid-data", problems=(("names-not-utf8", 1),)) as error:
        list_clips(tmp_path)
    assert r": \udcc7" in str(error.value)


def test_messages_are_printable(report: CatalogReport) -> None:
    for warning in report.warnings:
        assert warning.isprintable(), warning


def test_the_catalogue_keeps_every_name(report: CatalogReport, tmp_path: Path) -> None:
    workspace = Location.of(tmp_path / "w")
    report.catalog.save(workspace)
    assert Catalog.load(workspace).clips.equals(report.catalog.clips)


def test_equal_faults_have_equal_reasons(folder: Path, report: CatalogReport) -> None:
    again = build_catalog(list_data(folder), WANTED, ANY)
    assert [*again.catalog.clips["reason"]] == [*report.catalog.clips["reason"]]
    assert not report.catalog.clips["reason"].str.contains("0x").any()


def test_unusable_files_are_not_inspected_again(folder: Path, report: CatalogReport) -> None:
    again = build_catalog(list_data(folder), WANTED, ANY, previous=report.catalog)
    assert again.inspected == 0
    reasons = report.catalog.clips["reason"].to_numpy(str)
    assert PredictionChunk(reasons, reasons, reasons, reasons, reasons).complete


@pytest.mark.extended
def test_predictions_give_the_same_reasons(folder: Path, report: CatalogReport) -> None:
    """Reading of files as in `overlap predict`, up to batches of decibels."""
    files, reasons = tuple(report.catalog.clips["file"]), {}

    def on_decoded(place: int, clip: Clip | AudioError) -> None:
        reasons[files[place]] = str(clip) if isinstance(clip, AudioError) else ""

    found = [*batches(Location.of(folder), files, FeatureConfig(), on_decoded)]
    assert reasons == dict(zip(files, report.catalog.clips["reason"], strict=True))
    assert all(np.isfinite(batch.decibels).all() for batch in found)
    assert sum(len(batch.indices) for batch in found) == len(report.catalog.rows("train"))


# --- memory -------------------------------------------------------------------------------------

PEAK = """
import resource, sys
from overlap.catalog import build_catalog, list_data
from overlap.config import AudioFormat, ChecksConfig

def peak(folder):
    listing = list_data(folder)
    build_catalog(listing, AudioFormat(16000, 16000), ChecksConfig(max_bad_fraction=1.0))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak(sys.argv[1])
print(peak(sys.argv[2]) - before)
"""
MOST_MB = 160 + 3 * 31
"""Two groups of 64 MB with their concatenation, and a file of the largest size: its parts, their
concatenation, and the decoded samples."""


def more_memory(good: Path, bad: Path) -> float:
    """The growth in MB of a process's peak memory when it inspects bad data after good data."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, good, bad], capture_output=True, text=True, timeout=240,
        check=True,
    )  # fmt: skip
    return float(done.stdout)


def test_large_files_take_a_bounded_memory(tmp_path: Path) -> None:
    """700 MB of WAV files, two files above the size limit, and decompression bombs."""
    long = [
        Case(f"{n}", hostile_audio.long_wav(seconds), REPAIRED, file=f"{n}.wav")
        for n, seconds in enumerate([940] * 24 + [36000] * 2 + [60] * 40)
    ]
    bombs = [case for case in IN_ONE_FOLDER if "hour" in case.name or "kHz in" in case.name]
    assert len(bombs) == 5
    good = data_of(tmp_path / "good", [])
    assert more_memory(good, data_of(tmp_path / "bad", [*long, *bombs])) < MOST_MB


# --- the whole service --------------------------------------------------------------------------


COPIES = 8
"""Links to every file, so that the inspection takes more than one task and runs on workers."""


@pytest.mark.faults
def test_workers_survive_every_hostile_file(tmp_path: Path) -> None:
    """Features of all these clips, computed by the command line with Dask workers."""
    usual = [*HEADERS, *CONTENTS]
    copies = [
        replace(case, write=links_to(case.file_name), file=f"{copy}-{case.file_name}")
        for case in usual
        for copy in range(COPIES)
    ]
    cases = [*IN_ONE_FOLDER, *copies]
    assert len(cases) > BATCH
    folder = data_of(tmp_path / "data", [*cases, *NO_FILES], cases)
    workspace = tmp_path / "w"
    done = subprocess.run(
        [OVERLAP, "features", "--data", folder, "--workspace", workspace,
         "--set", "checks.max_bad_fraction=1", "--set", "store.block_clips=32",
         "--set", "store.chunk_clips=8"],
        env=os.environ | {"PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200"},
        capture_output=True, timeout=500, check=False,
    )  # fmt: skip
    output = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, output
    for trouble in ("Traceback", "Restarting worker", "died", "killed"):
        assert trouble not in output, output
    catalog = Catalog.load(Location.of(workspace))
    bad = sum(case.outcome == QUARANTINED for case in cases)
    assert catalog.counts()["quarantined"] == bad
    assert catalog.counts()["train"] == len(cases) + 1 - bad
    store = FeatureStore.open(Location.of(workspace))
    assert not store.missing(catalog)


# --- the documentation --------------------------------------------------------------------------

RELIABILITY = Path(__file__).resolve().parents[2] / "docs" / "reliability.md"


@pytest.mark.parametrize(("name", "cases"), [("hostile_audio", AUDIO), ("hostile_tables", TABLES)])
def test_the_documented_table_is_the_tested_one(name: str, cases: list[Case]) -> None:
    """After a change, replace the documented table with build/faults/NAME.md."""
    rows = [case.line for case in cases]
    write_table(name, COLUMNS, rows)
    assert (FOLDER / f"{name}.md").is_file()
    assert markdown(COLUMNS, rows) in RELIABILITY.read_text()
