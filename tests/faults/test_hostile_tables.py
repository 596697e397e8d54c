"""Every hostile table has its documented outcome: used, or refused with file and problem."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from overlap.catalog import build_catalog, list_data
from overlap.config import AudioFormat, ChecksConfig
from overlap.errors import DataError
from support.errors import printed_code, raises
from support.hostile_cases import REFUSED, TONE, USED, Case, encoded
from support.hostile_tables import EXPENSIVE, GOOD, GROUPS, HEADER, LABELS, TABLES, TEMPLATE
from support.processes import OVERLAP

WANTED = AudioFormat(16000, 16000)
QUICK = [case for case in TABLES if case.name not in EXPENSIVE]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four training clips and one test clip; tests must not modify them."""
    top = tmp_path_factory.mktemp("clips")
    for place, (split, name) in enumerate([*(("train", n) for n in "abcd"), ("test", "t")]):
        (top / split).mkdir(exist_ok=True)
        (top / split / f"{name}.wav").write_bytes(encoded(np.roll(TONE, place)))
    return top


def data_of(folder: Path, clips: Path, case: Case) -> Path:
    """Write a data set with one hostile table."""
    folder.mkdir()
    for split in ("train", "test"):
        (folder / split).symlink_to(clips / split)
    if case.file_name != LABELS:
        (folder / LABELS).write_text(GOOD)
    case.write(folder / case.file_name)
    return folder


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_a_hostile_table(tmp_path: Path, clips: Path, case: Case) -> None:
    folder = data_of(tmp_path / "d", clips, case)
    if case.outcome == USED:
        catalog = build_catalog(list_data(folder), WANTED, ChecksConfig()).catalog
        assert catalog.counts() == {"train": 4, "test": 1, "quarantined": 0, "removed": 0}
        assert np.allclose(catalog.labels[:4].sum(axis=1), 1)
        assert [*catalog.clips["clip_id"]] == ["a", "b", "c", "d", "t"]
        return
    assert case.outcome == REFUSED
    with raises(DataError, "invalid-data", data=str(folder)) as error:
        build_catalog(list_data(folder), WANTED, ChecksConfig())
    assert case.code in dict(error.value.fields["problems"])
    message = str(error.value)
    assert all(fact in message for fact in (case.file_name, *case.facts))
    assert len(message) < 5000
    assert all(line.isprintable() for line in message.splitlines())


def test_the_valid_tables_have_no_problems(tmp_path: Path, clips: Path) -> None:
    """Hence the hostile tables are refused for their own fault."""
    case = Case("good", lambda path: path.write_text(GOOD) and None, USED, file=LABELS)
    folder = data_of(tmp_path / "d", clips, case)
    (folder / TEMPLATE).write_text(f"{HEADER}t,0,0\n")
    (folder / GROUPS).write_text("id,group\na,1\nb,1\nc,2\nd,2\n")
    assert build_catalog(list_data(folder), WANTED, ChecksConfig()).warnings == ()


# --- memory -------------------------------------------------------------------------------------

PEAK = """
import resource, sys
from overlap.catalog import build_catalog, list_data
from overlap.config import AudioFormat, ChecksConfig
from overlap.errors import DataError

def outcome(folder):
    try:
        built = build_catalog(list_data(folder), AudioFormat(16000, 16000), ChecksConfig())
        return len(built.catalog.words)
    except DataError as error:
        return " ".join(code for code, _ in error.fields["problems"])

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

outcome(sys.argv[1])
before = peak()
found = outcome(sys.argv[2])
print(peak() - before)
print(found)
"""
MOST_MB = {
    "a million rows too many": 400,
    "30,001 columns": 100,
    "two gigabytes without a line break": 100,
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a million rows too many", marks=pytest.mark.faults),
        pytest.param("30,001 columns", marks=pytest.mark.extended),
        "two gigabytes without a line break",
    ],
)
def test_a_large_table_takes_a_bounded_memory(tmp_path: Path, clips: Path, name: str) -> None:
    good = Case("good", lambda path: path.write_text(GOOD) and None, USED, file=LABELS)
    (case,) = [case for case in TABLES if case.name == name]
    before = data_of(tmp_path / "good", clips, good)
    after = data_of(tmp_path / "bad", clips, case)
    done = subprocess.run(
        [sys.executable, "-c", PEAK, before, after], capture_output=True, text=True, timeout=240,
        check=True,
    )  # fmt: skip
    growth, found = done.stdout.splitlines()
    assert case.code in found.split() if case.outcome == REFUSED else found == "30000"
    assert float(growth) < MOST_MB[name]


def test_every_expensive_table_is_measured() -> None:
    assert MOST_MB.keys() == EXPENSIVE <= {case.name for case in TABLES}


# --- the command line ---------------------------------------------------------------------------


def test_the_command_line_reports_every_problem(tmp_path: Path, clips: Path) -> None:
    """It exits with code 2 and one message, without a traceback."""
    cases = [
        next(case for case in TABLES if case.name == name)
        for name in ("an id that clears the terminal", "groups that are a pipe")
    ]
    folder = data_of(tmp_path / "d", clips, cases[0])
    cases[1].write(folder / cases[1].file_name)
    done = subprocess.run(
        [OVERLAP, "plan", "--data", folder, "--workspace", tmp_path / "w"],
        env=os.environ | {"COLUMNS": "300", "NO_COLOR": "1"}, capture_output=True, text=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 2, done.stdout + done.stderr
    assert printed_code(done.stderr) == "invalid-data"
    assert "2 problems" in done.stderr
    for case in cases:
        assert all(fact in done.stderr for fact in (case.file_name, *case.facts))
    assert "Traceback" not in done.stderr
    assert "\x1b[2J" not in done.stderr
