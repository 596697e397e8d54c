"""Formats of `train_answer.csv`: recognition, setting, ambiguity, hostile content."""

from pathlib import Path

import numpy as np
import pytest

from overlap.catalog import build_catalog, list_data
from overlap.catalog.problems import Problem, Problems
from overlap.catalog.tables.data_tables import read_label_table
from overlap.catalog.tables.label_tables import Table
from overlap.config import AudioFormat, ChecksConfig
from overlap.config.features import LabelTableFormat
from overlap.io.location import Location
from support.labelled_sound import write_tone


def read(
    folder: Path, text: str | bytes, label_format: LabelTableFormat = "auto"
) -> tuple[Table | None, list[Problem]]:
    """Read a text as `train_answer.csv`."""
    file = folder / "train_answer.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems = Problems()
    return read_label_table(Location.of(file), problems, label_format), problems.found


def codes(found: list[Problem], *, fatal: bool = True) -> dict[str, int]:
    """Return the number of cases of the problems by code."""
    return {problem.code: problem.count for problem in found if problem.fatal == fatal}


HALF, THIRD = 1 / 2, 1 / 3


@pytest.mark.parametrize(
    ("text", "ids", "words", "values"),
    [
        pytest.param(
            "filename,label\na.wav,yes\nb.wav,no\n", "ab", ("no", "yes"), [[0, 1], [1, 0]],
            id="one label per clip",
        ),
        pytest.param(
            "filename,label\na.wav,yes\na.wav,no\nb.wav,no\n", "ab", ("no", "yes"),
            [[HALF, HALF], [1, 0]], id="several rows per clip",
        ),
        pytest.param(
            "id,labels\na,yes;no\nb,no\n", "ab", ("no", "yes"), [[HALF, HALF], [1, 0]],
            id="several labels per row",
        ),
        pytest.param(
            'fname,labels\na.wav,"yes,no"\nb.wav,yes\n', "ab", ("no", "yes"),
            [[HALF, HALF], [0, 1]], id="labels separated by a comma",
        ),
        pytest.param(
            'fname,labels\na.wav,"Speech, child"\nb.wav,dog\n', "ab", ("Speech, child", "dog"),
            [[1, 0], [0, 1]], id="a label with a comma",
        ),
        pytest.param(
            "label,filename\nNew York,train/a.wav\nyes,b.FLAC\n", "ab", ("New York", "yes"),
            [[1, 0], [0, 1]], id="a label with a space, a file with its folder",
        ),
        pytest.param(
            "id,yes,no,maybe\na,1,1,1\nb,0,1,0\n", "ab", ("yes", "no", "maybe"),
            [[THIRD, THIRD, THIRD], [0, 1, 0]], id="multi-hot",
        ),
        pytest.param(
            "id,yes,label\na,0.5,0.5\nb,0,1\n", "ab", ("yes", "label"), [[HALF, HALF], [0, 1]],
            id="a distribution over the word label",
        ),
        pytest.param(
            "filename,label\na.wav,3\nb.wav,5\n", "ab", ("3", "5"), [[1, 0], [0, 1]],
            id="labels that are numbers",
        ),
    ],
)  # fmt: skip
def test_formats_are_recognised(
    tmp_path: Path, text: str, ids: str, words: tuple[str, ...], values: list[list[float]]
) -> None:
    table, found = read(tmp_path, text)
    assert codes(found) == {}
    assert table is not None
    assert ([*table.ids], table.words) == ([*ids], words)
    assert np.array_equal(table.values, values)


def test_the_format_and_its_reason_are_reported(tmp_path: Path) -> None:
    _, (problem,) = read(tmp_path, "filename,label\na.wav,yes\na.wav,no\nb.wav,no\n")
    assert (problem.code, problem.fatal) == ("label-format", False)
    for fact in ("filename and label", "2 clips", "1 to 2 per clip"):
        assert fact in problem.message
    _, (problem,) = read(tmp_path, "id,yes,no\na,1,1\nb,1,0\nc,1,1\n")
    assert (problem.code, problem.cases, problem.count) == ("multi-hot", ("a", "c"), 2)


def test_a_table_of_distributions_is_read_without_a_note(tmp_path: Path) -> None:
    for text in ("id,yes,no\na,0.25,0.75\n", "id,yes,no\na,0,1\nb,1,0\n"):
        assert read(tmp_path, text)[1] == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("id,label\na,1\nb,1\n", "ambiguous-labels", id="labels or shares"),
        pytest.param("id,label,fold\na,1,1\n", "ambiguous-labels", id="labels or shares, fold"),
        pytest.param("filename,label,category\na,1,x\n", "ambiguous-columns", id="two labels"),
        pytest.param('filename,label\na,"x,y"\nb,"x, z"\n', "ambiguous-separator", id="comma"),
        pytest.param("filename,label\na,x;y\nb,x|y\n", "ambiguous-separator", id="two separators"),
        pytest.param("filename,label\na,\"['x', 'y']\"\n", "list-in-cell", id="list"),
    ],
)
def test_two_readings_are_refused(tmp_path: Path, text: str, code: str) -> None:
    table, found = read(tmp_path, text)
    assert table is None
    assert codes(found) == {code: 0}
    assert "train_answer.csv" in str(found[-1])


def test_the_setting_decides_between_two_readings(tmp_path: Path) -> None:
    text = "id,label\na,1\nb,1\n"
    long, _ = read(tmp_path, text, "long")
    wide, _ = read(tmp_path, text, "distribution")
    assert long is not None
    assert wide is not None
    assert (long.words, wide.words) == (("1",), ("label",))
    text = 'filename,label\na,"x,y"\nb,"x, z"\n'
    several, _ = read(tmp_path, text, "long")
    single, _ = read(tmp_path, text, "one-label")
    assert several is not None
    assert single is not None
    assert (several.words, single.words) == (("x", "y", "z"), ("x, z", "x,y"))


@pytest.mark.parametrize(
    ("label_format", "text", "problems"),
    [
        ("multi-hot", "id,yes,no\na,0.5,0.5\nb,1,1\n", {"not-multi-hot": 1}),
        ("multi-hot", "id,yes,no\na,0,0\nb,1,1\n", {"row-sum": 1}),
        ("distribution", "id,yes,no\na,1,1\n", {"row-sum": 1}),
        ("one-label", "filename,label\na,x\na,y\n", {"several-labels": 1}),
        ("long", "id,yes,no\na,1,0\n", {"missing-columns": 3}),
    ],
)
def test_a_forced_format_is_enforced(
    tmp_path: Path, label_format: LabelTableFormat, text: str, problems: dict[str, int]
) -> None:
    assert codes(read(tmp_path, text, label_format)[1]) == problems


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("filename,label\n../a.wav,x\nb.wav,x\n", {"path-leaves-folder": 1}),
        ("filename,label\n/etc/passwd,x\nC:\\b.wav,x\n", {"path-leaves-folder": 2}),
        ("filename,label\n,x\nb.wav,x\n", {"rows-without-file": 1}),
        ("filename,label\na.wav,\nb.wav,x\n", {"clips-without-label": 1}),
        ("filename,label\na.wav,x,y\n", {"ragged-rows": 1}),
        ("filename,label\na.wav,=A(1)\n", {"columns-are-formulas": 1}),
        ("filename,label\na.wav,id\nb.wav,x\n", {"label-is-id": 1}),
        ("filename,label,label\na,x,y\n", {"duplicate-columns": 1}),
        ("filename,label\n", {"no-rows": 0}),
        ("filename,label\na,x\n" + "y" * 200_000 + ",x\n", {"malformed-csv": 0}),
        ("filename,label,start,end\na,x,0,1\n", {"timed-labels": 0}),
        ("filename,label\na,x\n".encode("utf-16"), {"table-not-utf8": 0}),
        (b"filename,label\na,\xe9t\xe9\n", {"table-not-utf8": 0}),
        ("id,yes,no\na,nan,1\nb,1,1\n", {"not-a-number": 1, "row-sum": 1}),
    ],
)
def test_hostile_tables_are_refused(
    tmp_path: Path, text: str | bytes, problems: dict[str, int]
) -> None:
    assert codes(read(tmp_path, text)[1]) == problems


def test_words_are_normalised_and_repeated_rows_count_once(tmp_path: Path) -> None:
    text = "\ufefffilename,label\na.wav, caf\u0065\u0301\na.wav,caf\u00e9\nb.wav,no\u00a0 go\n"
    table, found = read(tmp_path, text)
    assert table is not None
    assert table.words == ("caf\u00e9", "no go")
    handled = codes(found, fatal=False)
    assert handled["repeated-labels"] == 1
    assert handled["normalised-cells"] == 2


def test_every_format_yields_the_same_catalogue(tmp_path: Path) -> None:
    """Nothing of a workspace depends on how the labels are written."""
    (tmp_path / "train").mkdir()
    for number, name in enumerate("abc", 1):
        write_tone(tmp_path / "train" / f"{name}.wav", 200 * number)
    keys = set()
    for text in (
        "id,no,yes\na,0.5,0.5\nb,1,0\nc,0,1\n",
        "id,no,yes\na,1,1\nb,1,0\nc,0,1\n",
        "filename,label\na.wav,yes\na.wav,no\nb.wav,no\nc.wav,yes\n",
        "label,id\nno|yes,a\nno,b\nyes,c\n",
    ):
        (tmp_path / "train_answer.csv").write_text(text)
        checks = ChecksConfig()
        listing = list_data(tmp_path, checks.label_format)
        catalog = build_catalog(listing, AudioFormat(16000, 16000), checks).catalog
        keys.add(catalog.key(catalog.rows("train"), labels=True))
    assert len(keys) == 1
