"""Columns of texts and numbers: exact in memory and in temporary files, and the search in them."""

import errno
import os
import pickle
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from overlap.columns import search, temporary_files, texts
from overlap.columns.frames import FrameBuilder, concatenated, rows_of, text_series
from overlap.columns.search import equal_at, equal_numbers, positions, repeated
from overlap.columns.temporary_files import GrowingBuffer, NumberBuilder, zeros
from overlap.columns.texts import (
    TextBuilder,
    TextColumn,
    constant,
    text_array,
    texts_at,
    texts_where,
)
from overlap.errors import StorageError

TEXTS = st.lists(st.text(st.characters(codec="utf-8"), max_size=4), max_size=30)


@pytest.fixture(params=["memory", "files"])
def where(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Columns stay in memory, or every column is in a temporary file; blocks are small."""
    for module in (texts, search, temporary_files):
        monkeypatch.setattr(module, "BLOCK", 3)
    if request.param == "files":
        monkeypatch.setattr(temporary_files, "LARGE_BYTES", 1)
    return str(request.param)


def names(count: int) -> list[str]:
    """Return texts of different lengths, some of them empty or beyond ASCII."""
    return ["é" * (n % 3) + str(n) * (n % 5) for n in range(count)]


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 20])
@pytest.mark.usefixtures("where")
def test_texts_come_back(count: int) -> None:
    """One by one, by lists, by slices of Arrow arrays and by series, in the order of the calls."""
    expected, builder = names(count), TextBuilder()
    for text in expected:
        builder.append(text)
    builder.extend(expected)
    builder.extend(pa.array(["x", *expected, "y"], pa.large_string()).slice(1, count))
    builder.extend(pd.Series(expected, dtype="str"))
    builder.append("end")
    array = builder.finish()
    array.validate(full=True)
    assert array.to_pylist() == [*4 * expected, "end"]
    column = TextColumn(array)
    assert [*column] == [*4 * expected, "end"]
    assert (len(column), column[-1], [*column[-2:]]) == (
        4 * count + 1,
        "end",
        [*array.to_pylist()][-2:],
    )
    assert pickle.loads(pickle.dumps(array)).equals(array)


@pytest.mark.usefixtures("where")
def test_numbers_come_back() -> None:
    """Arrays and Python numbers in any order; the result may be changed."""
    builder = NumberBuilder()
    builder.extend([1, 2.5])
    builder.extend(np.arange(4, dtype=np.int8))
    builder.extend([np.nan])
    found = builder.finish()
    np.testing.assert_array_equal(found, [1, 2.5, 0, 1, 2, 3, np.nan])
    found[0] = 9
    assert found[0] == 9
    assert NumberBuilder("bool").finish().tolist() == []


@pytest.mark.usefixtures("where")
def test_numbers_are_compared_in_blocks() -> None:
    """A difference in the last block is found; NaN equals NaN."""
    first = np.arange(20.0).reshape(10, 2)
    first[3] = np.nan
    second = first.copy()
    assert equal_numbers(first, second)
    second[-1, -1] += 1
    assert not equal_numbers(first, second)
    assert not equal_numbers(first, first[:, :1])
    assert not equal_numbers(first, first[:-1])


def test_large_columns_are_in_files_without_names(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Every name is gone as soon as the file is open."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(temporary_files, "LARGE_BYTES", 100)
    found, builder = zeros((5, 20)), NumberBuilder()
    builder.extend(np.arange(50.0))
    assert [*tmp_path.iterdir()] == []
    assert (found == 0).all()
    found[2, 3] = 1
    assert found.sum() == 1
    assert builder.finish().sum() == np.arange(50.0).sum()
    assert not isinstance(zeros((3, 4)).base, np.ndarray | bytes)


@pytest.mark.parametrize(
    "write",
    [
        lambda: zeros((5, 20)),
        lambda: text_array([["a" * 200]]),
        lambda: NumberBuilder().extend(np.zeros(50)),
    ],
)
def test_a_folder_that_cannot_be_written_is_named(
    write: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the folder and the variable that chooses it."""
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent/folder")
    monkeypatch.setattr(temporary_files, "LARGE_BYTES", 100)
    with pytest.raises(StorageError) as error:
        write()
    assert (error.value.code, error.value.fields) == (
        "temporary-files", {"folder": "/nonexistent/folder"},
    )  # fmt: skip


def test_a_full_disk_is_an_error_before_the_array_is_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The space of an array is reserved: a write to it would kill the process."""

    def full(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full, raising=False)
    with pytest.raises(StorageError) as error:
        zeros((temporary_files.LARGE_BYTES,))
    assert error.value.code == "temporary-files"


@pytest.mark.usefixtures("where")
def test_rows_are_those_of_pandas() -> None:
    """Texts, numbers and truth values, in any order, some repeated."""
    frame = pd.DataFrame({"a": text_series(names(20)), "n": np.arange(20), "b": [True, False] * 10})
    for rows in (np.arange(20), np.array([3, 3, 19, 0]), np.empty(0, np.int64)):
        expected = frame.iloc[rows].reset_index(drop=True)
        pd.testing.assert_frame_equal(rows_of(frame, rows), expected)
    twice = concatenated([frame, frame.iloc[:3]])
    pd.testing.assert_frame_equal(twice, pd.concat([frame, frame.iloc[:3]], ignore_index=True))
    builder = FrameBuilder({"a": "str", "n": "int64", "b": "bool"})
    builder.add(frame)
    builder.add(frame.iloc[:3])
    pd.testing.assert_frame_equal(builder.finish(), twice)


@pytest.mark.usefixtures("where")
def test_columns_of_one_text() -> None:
    """A constant has any length."""
    assert [constant("é", count).to_pylist() for count in (0, 1, 7)] == [[], ["é"], ["é"] * 7]
    assert texts_at(["a", "b"], np.array([1, 0, 1, 1])).to_pylist() == ["b", "a", "b", "b"]
    assert texts_where(["a", "b", "c"], np.array([True, False, True])) == ["a", "c"]


def few_hashes(column: pa.LargeStringArray) -> np.ndarray:
    """Return a hash with many collisions."""
    return np.array([len(text) for text in column.to_pylist()], np.uint64)


@pytest.mark.parametrize("colliding", [False, True])
@given(values=TEXTS, known=TEXTS)
def test_a_search_is_exact(colliding: bool, values: list[str], known: list[str]) -> None:
    """Positions and repetitions are those of a dictionary, whatever the hashes are."""
    known = [*dict.fromkeys(known)]
    values = values + known[::2]
    row_of = {text: row for row, text in enumerate(known)}
    with pytest.MonkeyPatch.context() as patched:
        for module in (texts, search):
            patched.setattr(module, "BLOCK", 3)
        if colliding:
            patched.setattr(search, "hashes", few_hashes)
        assert positions(values, known).tolist() == [row_of.get(text, -1) for text in values]
        assert repeated(values).tolist() == [values.count(text) > 1 for text in values]


@pytest.mark.usefixtures("where")
def test_texts_are_compared_at_rows() -> None:
    """Row -1 equals nothing."""
    found = equal_at(["a", "b", "c", "d", ""], ["b", "a", ""], np.array([1, 1, -1, 0, 2]))
    assert found.tolist() == [True, False, False, False, True]


def test_a_buffer_that_is_given_up_closes_its_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """No warning of an open file follows an error during the collection."""
    monkeypatch.setattr(temporary_files, "LARGE_BYTES", 10)
    buffer = GrowingBuffer()
    buffer.add(np.zeros(10))
    del buffer


@pytest.mark.usefixtures("where")
def test_successive_rows_are_a_view() -> None:
    """Their texts are not copied, and later steps use them like other columns."""
    frame = pd.DataFrame({"a": text_series(names(20)), "n": np.arange(20)})
    part = rows_of(frame, np.arange(5, 12))
    pd.testing.assert_frame_equal(part, frame.iloc[5:12].reset_index(drop=True))
    assert positions(part["a"], frame["a"].unique())[0] >= 0
    assert text_array([part["a"]]).to_pylist() == names(20)[5:12]
