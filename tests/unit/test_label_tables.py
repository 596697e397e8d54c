"""Reading of label tables and templates: faults, limits and the matching of ids."""

from pathlib import Path

import fsspec
import numpy as np
import pytest

from overlap.catalog.id_matching import match_ids
from overlap.catalog.problems import Problem, Problems
from overlap.catalog.tables import csv_rows
from overlap.catalog.tables.label_tables import Table, read_table
from overlap.io.location import Location


def read(
    folder: Path, text: str | bytes, *, labels: bool = True
) -> tuple[Table | None, list[Problem]]:
    file = folder / "table.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    problems = Problems()
    return read_table(Location.of(file), problems, labels=labels), problems.found


def test_a_valid_table_is_read(tmp_path: Path) -> None:
    table, found = read(tmp_path, "id,yes,no\na,0.25,0.75\nb,1,0\n")
    assert found == []
    assert ([*table.ids], table.words) == (["a", "b"], ("yes", "no"))
    assert np.array_equal(table.values, [[0.25, 0.75], [1, 0]])


def test_the_id_column_may_be_anywhere(tmp_path: Path) -> None:
    table, found = read(tmp_path, "yes,id,no\n0.25,a,0.75\n")
    assert found == []
    assert ([*table.ids], table.words) == (["a"], ("yes", "no"))


def test_ids_are_text(tmp_path: Path) -> None:
    table, _ = read(tmp_path, "id,yes\n007,1\nNA,1\n")
    assert [*table.ids] == ["007", "NA"]


def test_a_byte_order_mark_is_not_part_of_the_header(tmp_path: Path) -> None:
    table, found = read(tmp_path, b"\xef\xbb\xbfid,yes\na,1\n")
    assert found == []
    assert table.words == ("yes",)


@pytest.mark.parametrize(
    ("text", "code", "cases"),
    [
        ("id,yes,no\na,0.5,0.6\n", "row-sum", ("a (sum 1.1)",)),
        ("id,yes,no\na,-0.5,1.5\n", "negative", ("a",)),
        ("id,yes,no\na,1,\n", "not-a-number", ("a",)),
        ("id,yes,no\na,1,nan\n", "not-a-number", ("a",)),
        ("id,yes,no\na,1,inf\n", "not-a-number", ("a",)),
        ("id,yes,no\na,1,x\n", "not-a-number", ("a",)),
        ("id,yes\na,1\na,1\n", "duplicate-ids", ("a",)),
        ("id,yes,yes\na,1,0\n", "duplicate-columns", ("yes",)),
        ("name,yes\na,1\n", "missing-columns", ("name", "yes")),
        ("id;yes\na;1\n", "wrong-separator", ("id;yes",)),
        ("id\na\n", "no-word-columns", ()),
        ("id,=A(1)\na,1\n", "columns-are-formulas", ("=A(1)",)),
        ("", "empty-table", ()),
        ('id,yes\n"a,1\n', "malformed-csv", ()),
        (b"id,\xff\xfe\n", "table-not-utf8", ()),
        ("id,yes,\na,1,\n", "unnamed-columns", ("column 3",)),
        ("id,yes\na,1,\n", "ragged-rows", ("line 2",)),
        ("yes,id\n1\n", "ragged-rows", ("line 2",)),
        ("id,yes\na,1_0\n", "not-a-number", ("a",)),
        ("id,yes\na,٣\n", "not-a-number", ("a",)),
        ("id,yes\na,18446744073709551616\n", "row-sum", ("a (sum 1.84467e+19)",)),
        ("id,yes\n" + "x" * (17 << 20), "line-too-long", ()),
    ],
)
def test_each_fault_is_one_problem(
    tmp_path: Path, text: str | bytes, code: str, cases: tuple[str, ...]
) -> None:
    _, found = read(tmp_path, text)
    assert [(problem.code, problem.cases) for problem in found] == [(code, cases)]
    assert str(found[0]).startswith("table.csv ")


def test_a_byte_that_is_not_utf8_is_located(tmp_path: Path) -> None:
    _, (problem,) = read(tmp_path, b"id,yes\n\xb0\xa1,1\n")
    assert problem.code == "table-not-utf8"
    assert "line 2" in problem.message
    assert "0xb0" in problem.message


def test_rows_sum_to_1_within_the_tolerance(tmp_path: Path) -> None:
    assert read(tmp_path, "id,a,b,c\nx,0.333,0.333,0.333\n")[1] == []
    assert read(tmp_path, "id,a,b,c\nx,0.333,0.333,0.332\n")[1] != []


def test_a_template_may_contain_any_cells(tmp_path: Path) -> None:
    table, found = read(tmp_path, "id,yes,no\na,0,0\nb,,\n", labels=False)
    assert found == []
    assert [*table.ids] == ["a", "b"]


def test_all_problems_of_a_table_are_reported(tmp_path: Path) -> None:
    _, found = read(tmp_path, "id,yes,no\na,0.5,0.6\nb,-1,2\nb,x,1\n")
    codes = [problem.code for problem in found]
    assert codes == ["duplicate-ids", "not-a-number", "negative", "row-sum"]


def test_ids_match_by_stem_and_by_number() -> None:
    stems = ["train_00001", "train_00002", "b7", "c7", "x"]
    ids = ["train_00002", "1", "00001", "7", "x", "9", "-1", "9" * 30]
    assert match_ids(stems, ids).tolist() == [1, 0, 0, -1, 4, -1, -1, -1]


def test_an_exact_stem_takes_precedence_over_a_number() -> None:
    assert match_ids(["7", "clip_7"], ["7"]).tolist() == [0]


def test_rows_are_never_shifted(tmp_path: Path) -> None:
    """With a comma at the end of every row, pandas would take the first column for an index."""
    table, found = read(tmp_path, "id,yes,no\na,1,0,\nb,0,1,\n")
    assert [(problem.code, problem.cases) for problem in found] == [
        ("ragged-rows", ("line 2", "line 3"))
    ]
    assert [*table.ids] == []


def test_blank_lines_are_not_rows(tmp_path: Path) -> None:
    table, found = read(tmp_path, "\nid,yes\r\n\r\na,1\r\n\n")
    assert found == []
    assert [*table.ids] == ["a"]


def test_messages_contain_no_escape_sequences_and_stay_short(tmp_path: Path) -> None:
    _, (problem,) = read(tmp_path, 'id,yes\n"a\n\x1b[2J",2\n"' + "b" * 5000 + '",2\n,2\n')
    first, second, third = problem.cases
    assert (first, third) == (r"a\n\x1b[2J (sum 2)", "(empty) (sum 2)")
    assert second == "b" * 300 + "… (sum 2)"
    assert str(problem).endswith(f": {first}, {second}, {third}")
    assert len(str(problem)) < 600


def test_tables_above_the_size_limit_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_rows, "MAX_BYTES", 15)
    memory = fsspec.filesystem("memory")
    for folder in (str(tmp_path), "memory://hostile"):
        for content in (b"id,yes\na,1\n", b"id,yes\na,1\nb,1\nc,1\n"):
            location, problems = Location.of(folder) / "table.csv", Problems()
            location.write_bytes(content)
            table = read_table(location, problems, labels=True)
            assert (table is None) == (len(content) > 15)
            codes = [problem.code for problem in problems.found]
            assert codes == ["table-too-large"] * (len(content) > 15)
    memory.rm("/hostile", recursive=True)


def test_ids_match_in_arrow_as_they_do_in_dictionaries() -> None:
    """An id without a file makes `match_ids` use its dictionaries."""
    stems = [f"clip_{number * 7919 % 1000:03d}" for number in range(1000)]
    ids = [f"clip_{number:03d}" for number in range(1000)]
    found = match_ids(stems, ids)
    assert [stems[index] for index in found] == ids
    assert match_ids(stems, [*ids, "absent"]).tolist() == [*found, -1]
