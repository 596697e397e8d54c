"""Import of tables, folders named by label and audiofolder: contents, ambiguity, hostile input."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from overlap.catalog import list_data
from overlap.catalog.formats.importing import ImportReport, import_data
from overlap.catalog.formats.source import ImportOptions
from overlap.catalog.tables.columns import ColumnNames
from overlap.errors import DataError, UserError
from support.errors import raises
from support.labelled_sound import write_csv, write_json_lines, write_tones


def imported(
    source: Path, target: Path, **options: object
) -> tuple[ImportReport, dict[str, dict[str, float]]]:
    """Import a folder; return the report and the positive shares of each training clip."""
    report = import_data(source, target, ImportOptions(**options))
    return report, labels_of(target)


def labels_of(target: Path) -> dict[str, dict[str, float]]:
    """Return the positive shares of each training clip of a data set."""
    listing = list_data(target, "distribution")
    assert listing.problems.fatal == []
    table = listing.labels
    assert table is not None
    assert {*table.ids} == {*listing.files.loc[listing.files["split"] == "train", "clip_id"]}
    return {
        clip: {word: float(v) for word, v in zip(table.words, row, strict=True) if v}
        for clip, row in zip(table.ids, table.values, strict=True)
    }


def refused(source: Path, **options: object) -> dict[str, int]:
    """Return the fatal problems of a source by code."""
    with raises(DataError, "invalid-data") as error:
        import_data(source, source.parent / "refused", ImportOptions(**options))
    assert not (source.parent / "refused").exists()
    assert [*source.parent.glob(".refused*")] == []
    return dict(error.value.fields["problems"])


def handled(report: ImportReport) -> dict[str, int]:
    """Return the handled problems by code."""
    return {problem.code: problem.count for problem in report.problems}


AB = ("a.wav", "b.flac")


def long(folder: Path) -> None:
    write_tones(folder, AB)
    rows = [("filename", "label"), ("a.wav", "x"), ("a.wav", "y"), ("b.flac", "y")]
    write_csv(folder / "labels.csv", rows)


def several_per_row(folder: Path) -> None:
    write_tones(folder / "audio", AB)
    write_csv(folder / "labels.csv", [("fname", "tags"), ("a", "x,y"), ("b", "y")])


def one_label(folder: Path) -> None:
    write_tones(folder / "clips", AB)
    rows = [("path", "category", "fold"), ("clips/a.wav", "x", 1), ("clips/b.flac", "y", 2)]
    write_csv(folder / "meta" / "esc.tsv", rows, "\t")


def multi_hot(folder: Path) -> None:
    write_tones(folder, AB)
    write_csv(folder / "labels.csv", [("file", "x", "y"), ("a.wav", 1, 1), ("b.flac", 0, 1)])


def distribution(folder: Path) -> None:
    write_tones(folder, AB)
    write_csv(folder / "labels.csv", [("id", "x", "y"), ("a", 0.25, 0.75), ("b", 0, 1)])


def audiofolder(folder: Path) -> None:
    write_tones(folder, AB)
    objects = [{"file_name": "a.wav", "labels": ["x", "y"]}, {"file_name": "b.flac", "labels": "y"}]
    write_json_lines(folder / "metadata.jsonl", objects)


def folders(folder: Path) -> None:
    write_tones(folder, ("x/a.wav", "y/b.flac"))


HALVES, ONLY_Y = {"x": 0.5, "y": 0.5}, {"y": 1.0}


@pytest.mark.parametrize(
    ("make", "name", "expected"),
    [
        (long, "long", {"a": HALVES, "b": ONLY_Y}),
        (several_per_row, "long", {"audio__a": HALVES, "audio__b": ONLY_Y}),
        (one_label, "one-label", {"clips__a": {"x": 1.0}, "clips__b": ONLY_Y}),
        (multi_hot, "multi-hot", {"a": HALVES, "b": ONLY_Y}),
        (distribution, "distribution", {"a": {"x": 0.25, "y": 0.75}, "b": ONLY_Y}),
        (audiofolder, "audiofolder", {"a": HALVES, "b": ONLY_Y}),
        (folders, "folders", {"x__a": {"x": 1.0}, "y__b": ONLY_Y}),
    ],
)
def test_formats_are_recognised_and_read(
    tmp_path: Path,
    make: Callable[[Path], None],
    name: str,
    expected: dict[str, dict[str, float]],
) -> None:
    make(tmp_path / "source")
    report, labels = imported(tmp_path / "source", tmp_path / "data")
    assert (report.format, labels) == (name, expected)
    assert report.reason
    assert (report.train, report.test, report.words) == (2, 0, ("x", "y"))
    links = [*(tmp_path / "data" / "train").iterdir()]
    assert all(link.is_symlink() and link.exists() for link in links)


@pytest.mark.parametrize("make", [long, multi_hot, distribution, audiofolder, folders])
def test_a_forced_format_reads_the_same(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "source")
    report, labels = imported(tmp_path / "source", tmp_path / "data")
    forced, same = imported(tmp_path / "source", tmp_path / "again", format=report.format)
    assert same == labels
    assert forced.reason == "set with --format"


def test_splits_groups_and_templates_are_written(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", ("a.wav", "b.wav", "c.wav", "d.wav"))
    rows = [
        ("path", "label", "split", "speaker"), ("a.wav", "x", "train", "s1"),
        ("b.wav", "y", "validation", "s2"), ("c.wav", "x", "test", "s3"),
        ("d.wav", "y", "test", ""),
    ]  # fmt: skip
    write_csv(source / "labels.csv", rows)
    report, labels = imported(source, tmp_path / "data")
    assert {*labels} == {"a", "b"}
    assert (report.train, report.test) == (2, 2)
    assert handled(report)["held-out-splits"] == 1
    data = tmp_path / "data"
    assert (data / "groups.csv").read_text() == "id,group\na,s1\nb,s2\n"
    assert (data / "submission.csv").read_text() == "id,x,y\nc,0.5,0.5\nd,0.5,0.5\n"
    assert (data / "test_answer.csv").read_text() == "id,x,y\nc,1.0,0\nd,0,1.0\n"
    assert (data / "sources.csv").read_text().splitlines()[1] == "train,a,a.wav,,"


def test_folders_and_tables_per_split(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_tones(tmp_path / "folders", (f"{split}/x/1.wav", f"{split}/y/1.wav"))
        write_tones(tmp_path / "metadata", (f"{split}/1.wav", f"{split}/2.wav"))
        rows = [("file_name", "label"), ("1.wav", "x"), ("2.wav", "y")]
        write_csv(tmp_path / "metadata" / split / "metadata.csv", rows)
        write_tones(tmp_path / "tables", (f"{split}1.wav", f"{split}2.wav"))
        rows = [("file", "label"), (f"{split}1.wav", "x"), (f"{split}2.wav", "y")]
        write_csv(tmp_path / "tables" / f"{split}.csv", rows)
    for name, found in (
        ("folders", "folders"),
        ("metadata", "audiofolder"),
        ("tables", "one-label"),
    ):
        report, _ = imported(tmp_path / name, tmp_path / f"{name}-data")
        assert (report.format, report.train, report.test) == (found, 2, 2), name


def test_nested_folders_and_other_suffixes_are_found_when_asked(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", ("x/1.wav", "y/1.wav", "y/deep/2.wav"))
    (source / "x" / "3.snd1").write_bytes((source / "x" / "1.wav").read_bytes())
    report, labels = imported(source, tmp_path / "data")
    assert {*labels} == {"x__1", "y__1"}
    assert handled(report) == {"files-in-subfolders": 1}
    _, labels = imported(source, tmp_path / "all", nested=True, suffixes=(".snd1",))
    assert {*labels} == {"x__1", "x__3", "y__1", "y__deep__2"}
    assert (tmp_path / "all" / "train" / "x__3.wav").is_symlink()
    (source / "x" / "4.snd1").write_bytes(b"no sound")
    assert refused(source, suffixes=(".snd1",)) == {"unreadable-sound": 1}


def test_files_of_a_table_are_found_by_name_when_asked(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", ("p/a.wav", "q/b.wav"))
    write_csv(source / "labels.csv", [("file", "label"), ("a.wav", "x"), ("b.wav", "y")])
    assert refused(source) == {"files-in-subfolders": 2}
    _, labels = imported(source, tmp_path / "data", nested=True)
    assert {*labels} == {"p__a", "q__b"}
    write_tones(source, ("q/a.wav",))
    assert refused(source, nested=True) == {"ambiguous-files": 1}


def test_a_table_elsewhere_refers_to_the_folder_of_the_sound(tmp_path: Path) -> None:
    sound = write_tones(tmp_path / "sound", AB)
    rows = [("path", "label"), (str(sound / "a.wav"), "x"), ("b.flac", "y")]
    write_csv(tmp_path / "tables" / "labels.csv", rows)
    import_data(tmp_path / "tables", tmp_path / "data", sound=sound)
    assert labels_of(tmp_path / "data") == {"a": {"x": 1.0}, "b": ONLY_Y}


@pytest.mark.parametrize(
    ("files", "rows", "code"),
    [
        pytest.param(("train/1.wav", "x/1.wav", "y/1.wav"), [], "ambiguous-folders", id="splits"),
        pytest.param(
            AB, [("file", "label", "target"), ("a.wav", "x", 1)], "ambiguous-columns", id="labels"
        ),
        pytest.param(
            AB, [("file", "path", "label"), ("a.wav", "b.flac", "x")], "ambiguous-columns",
            id="files",
        ),
        pytest.param(
            AB, [("file", "label"), ("a.wav", 1), ("b.flac", 1)], "ambiguous-labels", id="numbers"
        ),
        pytest.param(
            AB, [("file", "label"), ("a.wav", "x, y"), ("b.flac", "x")], "ambiguous-separator",
            id="comma",
        ),
        pytest.param(AB, [("name", "note"), ("a.wav", "x")], "unknown-format", id="nothing"),
    ],
)  # fmt: skip
def test_two_readings_are_refused(
    tmp_path: Path, files: tuple[str, ...], rows: list[tuple[object, ...]], code: str
) -> None:
    source = write_tones(tmp_path / "source", files)
    if rows:
        write_csv(source / "labels.csv", rows)
    with raises(DataError, code):
        import_data(source, tmp_path / "data")


def test_two_tables_or_formats_are_refused(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", AB)
    rows = [("file_name", "label"), ("a.wav", "x"), ("b.flac", "y")]
    write_csv(source / "one.csv", rows)
    write_csv(source / "two.csv", rows)
    with raises(DataError, "ambiguous-tables", tables=("one.csv", "two.csv")):
        import_data(source, tmp_path / "data")
    assert imported(source, tmp_path / "data", table="two.csv")[0].format == "one-label"
    (source / "two.csv").rename(source / "metadata.csv")
    with raises(DataError, "ambiguous-format", readings=("audiofolder", "one-label")):
        import_data(source, tmp_path / "other")


def test_the_user_decides_between_columns_and_separators(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", AB)
    rows = [("file", "target", "category"), ("a.wav", 3, "x y"), ("b.flac", 5, "y")]
    write_csv(source / "labels.csv", rows)
    numbers = imported(source, tmp_path / "n", columns=ColumnNames(label="target"))[1]
    assert numbers == {"a": {"3": 1.0}, "b": {"5": 1.0}}
    columns = ColumnNames(label="category")
    assert imported(source, tmp_path / "o", columns=columns)[1]["a"] == {"x y": 1.0}
    assert imported(source, tmp_path / "s", columns=columns, separator=" ")[1]["a"] == HALVES


@pytest.mark.parametrize(
    ("rows", "problems"),
    [
        ([("file", "label"), ("../out.wav", "x"), ("a.wav", "y")], {"path-leaves-folder": 1}),
        ([("file", "label"), ("/etc/a.wav", "x"), ("a.wav", "y")], {"path-leaves-folder": 1}),
        ([("file", "label"), ("C:\\a.wav", "x"), ("a.wav", "y")], {"path-leaves-folder": 1}),
        ([("file", "label"), ("s3://b/a.wav", "x"), ("a.wav", "y")], {"path-leaves-folder": 1}),
        ([("file", "label"), ("none.wav", "x"), ("a.wav", "y")], {"missing-files": 1}),
        ([("file", "label"), ("a.wav", ""), ("b.flac", "y")], {"clips-without-label": 1}),
        ([("file", "label"), ("", "x"), ("b.flac", "y")], {"rows-without-file": 1}),
        ([("file", "label"), ("a.wav",), ("b.flac", "y")], {"no-training-clips": 0, "ragged": 1}),
        (
            [("file", "label", "split"), ("a.wav", "x", "other"), ("b.flac", "y", "train")],
            {"unknown-splits": 1},
        ),
        (
            [("file", "label", "split"), ("a.wav", "x", "test"), ("b.flac", "y", "train")],
            {"unknown-words": 1},
        ),
        (
            [("file", "label", "split"), ("a.wav", "x", "test"), ("a.wav", "y", "train")],
            {"conflicting-rows": 1},
        ),
        ([("file", "x", "y"), ("a.wav", "nan", 1), ("b.flac", 0, 1)], None),
        ([("file", "x", "y"), ("a.wav", 0.5, 0.6), ("b.flac", 0, 1)], {"row-sum": 1}),
        ([("file", "x", "y"), ("a.wav", 0, 1), ("a", 0, 1)], {"duplicate-rows": 1}),
        ([("file", "label"), ("a.wav", "=A(1)"), ("b.flac", "y")], {"columns-are-formulas": 1}),
    ],
)
def test_hostile_rows_are_refused(
    tmp_path: Path, rows: list[tuple[object, ...]], problems: dict[str, int] | None
) -> None:
    source = write_tones(tmp_path / "source", AB)
    write_tones(tmp_path, ("out.wav",))
    write_csv(source / "labels.csv", rows)
    if problems is None or "ragged" in problems:
        with pytest.raises(DataError):
            import_data(source, tmp_path / "data")
    else:
        found = refused(source)
        assert {**found, "duplicate-clips": 0} == {**problems, "duplicate-clips": 0}


@pytest.mark.parametrize(
    "content",
    [b"", b"file,label\n", "file,label\na.wav,x\n".encode("utf-16"), b"file,label\na.wav,\xe9\n",
     b'file,label\n"a.wav,x\n', b"file,label\na.wav," + b"y" * 200_000],
    ids=["empty", "no rows", "utf-16", "latin-1", "quote", "huge"],
)  # fmt: skip
def test_unreadable_tables_are_refused(tmp_path: Path, content: bytes) -> None:
    source = write_tones(tmp_path / "source", AB)
    (source / "labels.csv").write_bytes(content)
    with pytest.raises(DataError) as error:
        import_data(source, tmp_path / "data", ImportOptions(table="labels.csv", format="long"))
    assert "labels.csv" in str(error.value)


@pytest.mark.parametrize(
    "line", ["{", "[]", '{"file_name": NaN}', '"\\ud800"', "[" * 100_000, '{"a": "\\ud800"}']
)
def test_malformed_json_is_refused(tmp_path: Path, line: str) -> None:
    source = write_tones(tmp_path / "source", AB)
    (source / "metadata.jsonl").write_text('{"file_name": "a.wav", "label": "x"}\n' + line + "\n")
    with raises(DataError, "invalid-data") as error:
        import_data(source, tmp_path / "data", ImportOptions(format="audiofolder"))
    assert "metadata.jsonl" in str(error.value)
    assert "line 2" in str(error.value)


def test_rows_without_a_file_are_left_out_when_asked(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", AB)
    rows = [("file", "label"), ("a.wav", "x"), ("b.flac", "y"), ("c.wav", "x")]
    write_csv(source / "labels.csv", rows)
    report, labels = imported(source, tmp_path / "data", skip_missing=True)
    assert {*labels} == {"a", "b"}
    assert handled(report) == {"missing-files": 1}


def test_links_in_the_source_are_followed_once(tmp_path: Path) -> None:
    """The user's own links are followed, like those of a data folder; circles end."""
    elsewhere = write_tones(tmp_path / "elsewhere", ("a.wav",))
    source = write_tones(tmp_path / "source", ("y/b.wav",))
    (source / "x").mkdir()
    (source / "x" / "a.wav").symlink_to(elsewhere / "a.wav")
    (source / "x" / "broken.wav").symlink_to(tmp_path / "none.wav")
    (source / "y" / "up").symlink_to(source)
    _, labels = imported(source, tmp_path / "data", nested=True)
    assert {*labels} == {"x__a", "y__b"}


def test_ids_collide_only_in_messages(tmp_path: Path) -> None:
    source = write_tones(tmp_path / "source", ("x/a.wav", "x/a.flac", "y/b.wav"))
    assert refused(source) == {"duplicate-clips": 1}


def test_targets_are_protected(tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "data"
    folders(source)
    import_data(source, target)
    with raises(UserError, "import-target-exists", target=str(target)):
        import_data(source, target)
    write_tones(source, ("x/new.wav",))
    import_data(source, target, replace=True)
    assert len([*(target / "train").iterdir()]) == 3
    assert {path.name for path in tmp_path.iterdir()} == {"source", "data"}
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "disk")
    import_data(source, tmp_path / "link")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "train_answer.csv").is_file()
    other = write_tones(tmp_path / "other", ("kept.wav",))
    for replace in (False, True):
        with raises(UserError, "import-target-not-empty"):
            import_data(source, other, replace=replace)
    with raises(UserError, "import-target-in-source"):
        import_data(source, source / "data")
    with raises(DataError, "already-a-data-set"):
        import_data(target, tmp_path / "again")


def test_sound_is_copied_when_asked(tmp_path: Path) -> None:
    source = tmp_path / "source"
    long(source)
    archive = shutil.make_archive(str(tmp_path / "source"), "zip", source)
    with raises(UserError, "links-need-local-disk"):
        import_data(archive, tmp_path / "data")
    for name, address in (("one", source), ("two", archive)):
        import_data(address, tmp_path / name, copy=True)
        copy = tmp_path / name / "train" / "a.wav"
        assert not copy.is_symlink()
        assert copy.read_bytes() == (source / "a.wav").read_bytes()
    assert labels_of(tmp_path / "one") == labels_of(tmp_path / "two")


@pytest.mark.parametrize("make", [long, folders, audiofolder])
def test_a_run_on_another_format_suggests_the_import(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "top")
    make(tmp_path / "train" / "train")
    with raises(DataError, "no-training-folder") as error:
        list_data(tmp_path / "top")
    assert f"`overlap import {tmp_path / 'top'} DATA`" in str(error.value)
    with pytest.raises(DataError) as other:  # clips, but no labels, or no clips in train/
        list_data(tmp_path / "train").problems.raise_if_fatal("DATA")
    assert f"`overlap import {tmp_path / 'train'} DATA`" in str(other.value)
