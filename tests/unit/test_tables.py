from pathlib import Path

import numpy as np
import pytest

from overlap.catalog.problems import Problems
from overlap.catalog.tables import match_ids, read_table
from overlap.storage import Location


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
        ("id;yes\na;1\n", "table.csv has no column id; its columns are: id;yes"),
        ("id\na\n", "table.csv has no column for a word"),
        ("", "table.csv cannot be read as a CSV table in UTF-8"),
        ('id,yes\n"a,1\n', "table.csv cannot be read as a CSV table in UTF-8"),
        (b"id,\xff\xfe\n", "table.csv cannot be read as a CSV table in UTF-8"),
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
