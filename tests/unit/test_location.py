"""Locations: files, folders, versions, atomic writes and damaged content."""

import os
import pickle
from pathlib import Path

import fsspec
import numpy as np
import pytest

from overlap.errors import CorruptError, UserError
from overlap.io import listing
from overlap.io.atomic import new_folder
from overlap.io.location import Location
from overlap.io.records import Record
from support.errors import raises


@pytest.fixture(params=["local", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        yield Location.of(tmp_path / "folder")
        return
    location = Location.of(f"memory://{tmp_path.name}")
    yield location
    fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_files_and_folders(folder: Location) -> None:
    assert not (folder / "a").exists()
    (folder / "a.txt").write_bytes(b"hello")
    (folder / "below/b.json").write_json({"x": [1, "ä"]})
    (folder / "below/c.npz").write_arrays({"v": np.arange(3)})
    assert (folder / "a.txt").read_bytes() == b"hello"
    assert (folder / "below/b.json").read_json() == {"x": [1, "ä"]}
    assert (folder / "below/c.npz").read_arrays()["v"].tolist() == [0, 1, 2]
    assert folder.is_folder()
    assert not (folder / "a.txt").is_folder()
    assert folder.folders() == ["below"]
    assert [(e.name, e.size) for e in folder.files()] == [("a.txt", 5)]
    (folder / "below").remove()
    (folder / "below").remove()
    assert folder.folders() == []
    assert (folder / "nothing").folders() == []
    with pytest.raises(FileNotFoundError):
        (folder / "below/b.json").read_bytes()


def test_a_version_changes_with_the_content(folder: Location) -> None:
    def version() -> str:
        return next(folder.files()).version

    (folder / "a").write_bytes(b"one")
    first = version()
    assert version() == first
    (folder / "a").write_bytes(b"two and more")
    assert version() != first


def test_a_version_changes_where_size_and_time_do_not(tmp_path: Path) -> None:
    """As in an unpacked archive whose files have equal times: two of them swap their names."""
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(name)
        os.utime(tmp_path / name, (1, 1))
    before = {entry.name: entry.version for entry in Location.of(tmp_path).files()}
    (tmp_path / "a").rename(tmp_path / "t")
    (tmp_path / "b").rename(tmp_path / "a")
    (tmp_path / "t").rename(tmp_path / "b")
    (tmp_path / "c").write_text("d")
    os.utime(tmp_path / "c", (1, 1))
    after = {entry.name: entry.version for entry in Location.of(tmp_path).files()}
    assert all(after[name] != before[name] for name in before)


def test_without_a_tag_every_listing_has_a_new_version() -> None:
    folder = Location.of("memory://untagged")
    (folder / "a").write_bytes(b"one")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listing, "TAGS", ())
        assert next(folder.files()).version != next(folder.files()).version
    folder.remove()


def test_a_name_is_never_parsed_as_an_address(tmp_path: Path) -> None:
    (tmp_path / "zip::b.wav").write_bytes(b"x")
    folder = Location.of(tmp_path)
    assert (folder / "zip::b.wav").read_bytes() == b"x"


@pytest.mark.parametrize("content", [b"{", b"[1]", b'{"a": "no number"}', b"\xff"])
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes) -> None:
    class Numbered(Record):
        a: int

    place = Location.of(tmp_path) / "record.json"
    place.write_bytes(content)
    with pytest.raises(CorruptError, match=r"record\.json"):
        place.read_record(Numbered)


def test_a_location_can_be_pickled(folder: Location) -> None:
    (folder / "a").write_bytes(b"x")
    again = pickle.loads(pickle.dumps(folder))
    assert again == folder
    assert (again / "a").exists()


def test_a_failed_write_leaves_the_old_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    location = Location.of(tmp_path / "a")
    location.write_bytes(b"old")

    def fail(_file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        location.write_bytes(b"new")
    assert location.read_bytes() == b"old"
    assert [f.name for f in tmp_path.iterdir()] == ["a"]


def test_relative_paths_are_resolved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Location.of("w").url == str(tmp_path / "w")
    assert Location.of("w/").url == str(tmp_path / "w")
    assert Location.of(Path("w")).local == tmp_path / "w"
    assert Location.of(f"file://{tmp_path}/w").url == str(tmp_path / "w")


@pytest.mark.parametrize(
    ("address", "code"),
    [("", "empty-address"), ("  ", "empty-address"), ("nonsense://x", "unknown-protocol")],
)
def test_invalid_addresses(address: str, code: str) -> None:
    with raises(UserError, code):
        Location.of(address)


def test_a_new_folder_appears_when_it_is_complete(tmp_path: Path) -> None:
    with new_folder(tmp_path / "a") as part:
        (part / "x").write_text("1")
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "a" / "x").read_text() == "1"
    with pytest.raises(RuntimeError), new_folder(tmp_path / "b") as part:
        raise RuntimeError
    assert [f.name for f in tmp_path.iterdir()] == ["a"]
    (tmp_path / "c").mkdir()
    with new_folder(tmp_path / "c") as part:
        (part / "x").write_text("1")
    assert (tmp_path / "c" / "x").exists()


def test_a_new_folder_must_not_exist_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "file"):
        with raises(UserError, "folder-not-empty", path=str(path)):
            new_folder(path).__enter__()
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with raises(UserError, "current-folder"):
        new_folder(Path()).__enter__()


def test_a_file_that_differs_from_its_digest_is_corrupt(folder: Location) -> None:
    file = folder / "a"
    with raises(CorruptError, "missing-file", path=str(file)):
        file.read_verified("0")
    file.write_bytes(b"content")
    digest = file.digest()
    assert file.read_verified(digest) == b"content"
    file.write_bytes(b"changed")
    with raises(CorruptError, "wrong-digest", path=str(file)):
        file.read_verified(digest)


def test_python_objects_are_never_read(tmp_path: Path) -> None:
    """Unpickling would run their code."""
    planted = tmp_path / "planted"

    class Runs:
        def __reduce__(self) -> tuple[object, tuple[object, ...]]:
            return os.mkdir, (str(planted),)

    np.savez(tmp_path / "arrays.npz", allow_pickle=True, v=np.array([Runs()], dtype=object))
    with pytest.raises(CorruptError, match=r"arrays\.npz"):
        (Location.of(tmp_path) / "arrays.npz").read_arrays()
    assert not planted.exists()
    np.load(tmp_path / "arrays.npz", allow_pickle=True)["v"]
    assert planted.exists()  # unpickling runs it
