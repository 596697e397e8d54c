"""Every bad sound file has the outcome that its table says; none ends a run or costs its memory."""

import csv
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

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
from support.fault_tables import FOLDER, markdown, write_table
from support.hostile_audio import AUDIO, CONTENTS, HEADERS, IN_ONE_FOLDER, NO_FILES, NOT_LISTED
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
    """A data set whose training clips are these cases, and one good clip."""
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
    """All of them at once."""
    top = tmp_path_factory.mktemp("hostile") / "data"
    return data_of(top, [*IN_ONE_FOLDER, *NO_FILES], IN_ONE_FOLDER)


@pytest.fixture(scope="module")
def report(folder: Path) -> CatalogReport:
    """What the catalogue says of them."""
    return build_catalog(list_data(folder), WANTED, ANY)


def test_every_case_has_a_name_of_its_own() -> None:
    for names in (
        [c.name for c in AUDIO],
        [stem(c) for c in IN_ONE_FOLDER],
        [c.name for c in TABLES],
    ):
        assert len(names) == len(set(names))
    assert len(AUDIO) + len(TABLES) >= 60


@pytest.mark.parametrize("case", IN_ONE_FOLDER, ids=lambda case: case.name)
def test_a_bad_sound_file(report: CatalogReport, case: Case) -> None:
    clips = report.catalog.clips
    (row,) = clips.index[clips["file"] == f"train/{case.file_name}"]
    about = clips.loc[row]
    if case.outcome == QUARANTINED:
        assert about["state"] == "quarantined"
        assert about["reason"].startswith(case.says)
        assert about["digest"] == about["repairs"] == ""
        return
    assert about["state"] == "ok"
    assert len(about["digest"]) == 32
    assert about["repairs"] == case.says
    assert case.outcome == (REPAIRED if case.says else USED)


def test_what_is_no_file_is_left_out_and_named(folder: Path, report: CatalogReport) -> None:
    (said,) = [w for w in report.warnings if w.startswith("names of clips that are no files")]
    assert f"({len(NO_FILES)} in all)" in said
    assert all(case.outcome == LEFT_OUT for case in NO_FILES)
    there = {*report.catalog.clips["file"]}
    assert not there & {f"train/{case.file_name}" for case in NO_FILES}


@pytest.mark.parametrize("case", NO_FILES, ids=lambda case: case.name)
def test_what_is_no_file_cannot_be_a_row_of_the_table(tmp_path: Path, case: Case) -> None:
    with pytest.raises(DataError) as error:
        build_catalog(list_data(data_of(tmp_path / "d", [case])), WANTED, ANY)
    assert f"train_answer.csv has ids without a file in train/: {stem(case)}" in str(error.value)
    assert f"that lead nowhere): train/{case.file_name}" in str(error.value)


@pytest.mark.parametrize("case", NOT_LISTED, ids=lambda case: case.name)
def test_a_name_that_is_refused(tmp_path: Path, case: Case) -> None:
    top = data_of(tmp_path / "d", [case], [])
    for refused in (
        lambda: build_catalog(list_data(top), WANTED, ANY),
        lambda: list_clips(top / "train").problems.raise_if_fatal("train"),
    ):
        with pytest.raises(DataError) as error:
            refused()
        str(error.value).encode()
        assert case.says in str(error.value)
    assert case.outcome == REFUSED


def test_only_names_that_are_refused(tmp_path: Path) -> None:
    case = NOT_LISTED[0]
    case.write(tmp_path / case.file_name)
    with pytest.raises(DataError, match=r"names are not UTF-8, .*: \\udcc7"):
        list_clips(tmp_path)


def test_messages_can_be_printed(report: CatalogReport) -> None:
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


def test_ten_hours_are_not_looked_at_again(folder: Path, report: CatalogReport) -> None:
    again = build_catalog(list_data(folder), WANTED, ANY, previous=report.catalog)
    assert again.inspected == 0
    reasons = report.catalog.clips["reason"].to_numpy(str)
    assert PredictionChunk(reasons, reasons, reasons, reasons, reasons).complete


def test_predictions_hear_the_same(folder: Path, report: CatalogReport) -> None:
    """The way of `overlap predict`, from files to batches of decibels."""
    files, reasons = tuple(report.catalog.clips["file"]), {}

    def heard(place: int, clip: Clip | AudioError) -> None:
        reasons[files[place]] = str(clip) if isinstance(clip, AudioError) else ""

    found = [*batches(Location.of(folder), files, FeatureConfig(), heard)]
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
"""Two groups of 64 MB and their joints, and a file of the largest size: its parts, the whole of
them, and what is decoded."""


def more_memory(good: Path, bad: Path) -> float:
    """By how many MB the peak of a process grows when it looks at bad data after good data."""
    done = subprocess.run(
        [sys.executable, "-c", PEAK, good, bad], capture_output=True, text=True, timeout=240,
        check=True,
    )  # fmt: skip
    return float(done.stdout)


def test_large_files_take_a_bounded_memory(tmp_path: Path) -> None:
    """700 MB of wav in files that are read, two files that are not, and the bombs."""
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
"""So many links to every file make more than one task of the inspection: workers do it."""


@pytest.mark.faults
def test_workers_survive_all_of_them(tmp_path: Path) -> None:
    """The features of all these clips, by the command line and Dask's workers."""
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
    said = (done.stdout + done.stderr).decode()
    assert done.returncode == 0, said
    for trouble in ("Traceback", "Restarting worker", "died", "killed"):
        assert trouble not in said, said
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
    """After a change, put build/faults/NAME.md in its place."""
    rows = [case.line for case in cases]
    write_table(name, COLUMNS, rows)
    assert (FOLDER / f"{name}.md").is_file()
    assert markdown(COLUMNS, rows) in RELIABILITY.read_text()
