from pathlib import Path

import fsspec
import numpy as np
import pytest

from overlap.catalog import label_tables
from overlap.catalog.label_tables import match_ids, read_table
from overlap.catalog.problems import Problems
from overlap.io.location import Location


def read(path: Path, text: str | bytes, *, labels: bool = True):
    file = path / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems = Problems()
    return read_table(Location.of(file), problems, labels=labels), [str(p) for p in problems.found]


def test_a_good_table(tmp_path: Path) -> None:
    table, found = read(tmp_path, "id,yes,no\na,0.25,0.75\nb,1,0\n")
    assert found == []
    assert (table.ids, table.words) == (("a", "b"), ("yes", "no"))
    assert np.array_equal(table.values, [[0.25, 0.75], [1, 0]])


def test_the_id_column_may_stand_anywhere(tmp_path: Path) -> None:
    table, found = read(tmp_path, "yes,id,no\n0.25,a,0.75\n")
    assert found == []
    assert (table.ids, table.words) == (("a",), ("yes", "no"))


def test_ids_are_text(tmp_path: Path) -> None:
    table, _ = read(tmp_path, "id,yes\n007,1\nNA,1\n")
    assert table.ids == ("007", "NA")


def test_a_byte_order_mark_is_no_part_of_the_header(tmp_path: Path) -> None:
    table, found = read(tmp_path, b"\xef\xbb\xbfid,yes\na,1\n")
    assert found == []
    assert table.words == ("yes",)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,yes,no\na,0.5,0.6\n", "table.csv has rows that do not sum to 1: a"),
        ("id,yes,no\na,-0.5,1.5\n", "table.csv has rows with a negative cell: a"),
        ("id,yes,no\na,1,\n", "table.csv has rows with a cell that is not a number: a"),
        ("id,yes,no\na,1,nan\n", "table.csv has rows with a cell that is not a number: a"),
        ("id,yes,no\na,1,inf\n", "table.csv has rows with a cell that is not a number: a"),
        ("id,yes,no\na,1,x\n", "table.csv has rows with a cell that is not a number: a"),
        ("id,yes\na,1\na,1\n", "table.csv has ids more than once: a"),
        ("id,yes,yes\na,1,0\n", "table.csv has columns more than once: yes"),
        ("name,yes\na,1\n", "table.csv has no column id; its columns are: name, yes"),
        (
            "id;yes\na;1\n",
            "table.csv has no column id (cells are divided by commas, not by ';')",
        ),
        ("id\na\n", "table.csv has no column for a word"),
        ("", "table.csv cannot be read as a CSV table in UTF-8"),
        ('id,yes\n"a,1\n', "table.csv cannot be read as a CSV table in UTF-8"),
        (b"id,\xff\xfe\n", "table.csv cannot be read as a CSV table in UTF-8"),
        (b"id,yes\n\xb0\xa1,1\n", "table.csv cannot be read as a CSV table in UTF-8 (line 2: byte"),
        ("id,yes,\na,1,\n", "table.csv has columns without a name: column 3"),
        ("id,yes\na,1,\n", "table.csv has rows with more or fewer cells than its header: line 2"),
        ("yes,id\n1\n", "table.csv has rows with more or fewer cells than its header: line 2"),
        ("id,yes\na,1_0\n", "table.csv has rows with a cell that is not a number: a"),
        ("id,yes\na,٣\n", "table.csv has rows with a cell that is not a number: a"),
        ("id,yes\na,18446744073709551616\n", "table.csv has rows that do not sum to 1: a"),
        (
            "id,yes\n" + "x" * (17 << 20),
            "table.csv cannot be read as a CSV table in UTF-8 (line 2 has",
        ),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str | bytes, message: str) -> None:
    _, found = read(tmp_path, text)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_rows_sum_to_1_within_the_tolerance(tmp_path: Path) -> None:
    assert read(tmp_path, "id,a,b,c\nx,0.333,0.333,0.333\n")[1] == []
    assert read(tmp_path, "id,a,b,c\nx,0.333,0.333,0.332\n")[1] != []


def test_a_template_may_hold_anything(tmp_path: Path) -> None:
    table, found = read(tmp_path, "id,yes,no\na,0,0\nb,,\n", labels=False)
    assert found == []
    assert table.ids == ("a", "b")


def test_all_problems_of_a_table_are_reported(tmp_path: Path) -> None:
    _, found = read(tmp_path, "id,yes,no\na,0.5,0.6\nb,-1,2\nb,x,1\n")
    assert len(found) == 4


def test_match_by_stem_and_by_number() -> None:
    stems = ["train_00001", "train_00002", "b7", "c7", "x"]
    ids = ["train_00002", "1", "00001", "7", "x", "9", "-1", "9" * 30]
    assert match_ids(stems, ids).tolist() == [1, 0, 0, -1, 4, -1, -1, -1]


def test_an_exact_stem_wins_over_a_number() -> None:
    assert match_ids(["7", "clip_7"], ["7"]).tolist() == [0]


def test_rows_are_never_shifted(tmp_path: Path) -> None:
    """A comma at the end of every row made the first column an index, and the ids numbers."""
    table, found = read(tmp_path, "id,yes,no\na,1,0,\nb,0,1,\n")
    assert found == ["table.csv has rows with more or fewer cells than its header: line 2, line 3"]
    assert table.ids == ()


def test_blank_lines_are_no_rows(tmp_path: Path) -> None:
    table, found = read(tmp_path, "\nid,yes\r\n\r\na,1\r\n\n")
    assert found == []
    assert table.ids == ("a",)


def test_names_cannot_command_a_terminal(tmp_path: Path) -> None:
    _, found = read(tmp_path, 'id,yes\n"a\n\x1b[2J",2\n"' + "b" * 5000 + '",2\n,2\n')
    assert found[0].startswith(r"table.csv has rows that do not sum to 1: a\n\x1b[2J, bbb")
    assert found[0].endswith("b…, (empty)")
    assert len(found[0]) < 600


def test_a_table_is_held_to_its_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(label_tables, "MOST_BYTES", 15)
    memory = fsspec.filesystem("memory")
    for place in (str(tmp_path), "memory://hostile"):
        for content in (b"id,yes\na,1\n", b"id,yes\na,1\nb,1\nc,1\n"):
            location, problems = Location.of(place) / "table.csv", Problems()
            location.write_bytes(content)
            table = read_table(location, problems, labels=True)
            assert (table is None) == (len(content) > 15)
            assert ("are the most" in str(problems.found)) == (len(content) > 15)
    memory.rm("/hostile", recursive=True)
