"""Every bad table has the outcome that its case says: used, or refused with file and cause."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from overlap.catalog import build_catalog, list_data
from overlap.config import AudioFormat, ChecksConfig
from overlap.errors import DataError
from support.hostile_cases import REFUSED, TONE, USED, Case, encoded
from support.hostile_tables import EXPENSIVE, GOOD, GROUPS, HEADER, LABELS, TABLES, TEMPLATE
from support.processes import OVERLAP

WANTED = AudioFormat(16000, 16000)
QUICK = [case for case in TABLES if case.name not in EXPENSIVE]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four clips to train with and one to predict; not to be changed."""
    top = tmp_path_factory.mktemp("clips")
    for place, (split, name) in enumerate([*(("train", n) for n in "abcd"), ("test", "t")]):
        (top / split).mkdir(exist_ok=True)
        (top / split / f"{name}.wav").write_bytes(encoded(np.roll(TONE, place)))
    return top


def data_of(folder: Path, clips: Path, case: Case) -> Path:
    """A data set with one bad table."""
    folder.mkdir()
    for split in ("train", "test"):
        (folder / split).symlink_to(clips / split)
    if case.file_name != LABELS:
        (folder / LABELS).write_text(GOOD)
    case.write(folder / case.file_name)
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(DataError) as error:
        build_catalog(list_data(folder), WANTED, ChecksConfig())
    return str(error.value)


@pytest.mark.parametrize("case", QUICK, ids=lambda case: case.name)
def test_a_bad_table(tmp_path: Path, clips: Path, case: Case) -> None:
    folder = data_of(tmp_path / "d", clips, case)
    if case.outcome == USED:
        catalog = build_catalog(list_data(folder), WANTED, ChecksConfig()).catalog
        assert catalog.counts() == {"train": 4, "test": 1, "quarantined": 0, "removed": 0}
        assert np.allclose(catalog.labels[:4].sum(axis=1), 1)
        assert [*catalog.clips["clip_id"]] == ["a", "b", "c", "d", "t"]
        return
    said = refusal(folder)
    assert case.outcome == REFUSED
    assert case.says in said
    assert case.file_name in said
    assert len(said) < 5000
    assert all(line.isprintable() for line in said.splitlines())


def test_the_good_table_is_good(tmp_path: Path, clips: Path) -> None:
    """So that what is refused is refused for its fault."""
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

def look(folder):
    try:
        built = build_catalog(list_data(folder), AudioFormat(16000, 16000), ChecksConfig())
        return len(built.catalog.words)
    except DataError as error:
        return error

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

look(sys.argv[1])
before = peak()
said = look(sys.argv[2])
print(peak() - before)
print(said)
"""
MOST_MB = {
    "a million rows too many": 400,
    "30,001 columns": 100,
    "two gigabytes without a line end": 100,
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("a million rows too many", marks=pytest.mark.faults),
        "30,001 columns",
        "two gigabytes without a line end",
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
    more, said = done.stdout.split("\n", 1)
    assert case.says in said if case.outcome == REFUSED else said.strip() == "30000"
    assert float(more) < MOST_MB[name]


def test_every_expensive_table_is_measured() -> None:
    assert MOST_MB.keys() == EXPENSIVE <= {case.name for case in TABLES}


# --- the command line ---------------------------------------------------------------------------


def test_the_command_line_refuses(tmp_path: Path, clips: Path) -> None:
    """Exit code 2 and one message with every problem, without a traceback."""
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
    assert all(case.says in done.stderr and case.file_name in done.stderr for case in cases)
    assert "Traceback" not in done.stderr
    assert "\x1b[2J" not in done.stderr
