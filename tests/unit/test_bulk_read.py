"""Bulk reads: on a local disk, on other file systems, and in zip archives."""

import pickle
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import fsspec
import numpy as np
import pytest
import soundfile

from overlap.audio import clips as clips_module
from overlap.audio.clips import decode_content, digest, load_clip
from overlap.bench.reading import READERS, bench_reading
from overlap.catalog import list_clips, list_data
from overlap.catalog import read_ahead as group_reading
from overlap.catalog.read_ahead import read_ahead
from overlap.config import AudioFormat, RunConfig
from overlap.errors import AudioError, DataError, UserError
from overlap.features.store.metadata import zarr_store
from overlap.io import zip_archive
from overlap.io.bulk_read import TooLargeError
from overlap.io.location import Location
from overlap.workspace.pending import pending_work
from support.errors import raises

WANTED = AudioFormat(100, 100)
FILES = {
    "a.wav": b"first",
    "b[1]*?.wav": b"second",
    "ä.wav": b"third",
    "empty": b"",
    "large": bytes(range(256)) * 1000,
}


def zipped(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


@pytest.fixture(params=["local", "memory", "stored", "deflated", "bzip2", "zip in memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Location]:
    """A folder `in` with all of `FILES`."""
    memory = fsspec.filesystem("memory")
    how = {"stored": zipfile.ZIP_STORED, "bzip2": zipfile.ZIP_BZIP2}.get(request.param)
    if request.param in ("local", "memory"):
        top = Location.of(tmp_path if request.param == "local" else f"memory://{tmp_path.name}")
        for name, content in FILES.items():
            (top / "in" / name).write_bytes(content)
        yield top / "in"
    else:
        inside = {f"in/{name}": content for name, content in FILES.items()}
        path = zipped(tmp_path / "data.zip", inside, how or zipfile.ZIP_DEFLATED)
        if request.param == "zip in memory":
            memory.pipe_file(f"/{tmp_path.name}/data.zip", path.read_bytes())
            yield Location.of(f"zip://in::memory://{tmp_path.name}/data.zip")
        else:
            yield Location.of(path) / "in"
    if memory.exists(f"/{tmp_path.name}"):
        memory.rm(f"/{tmp_path.name}", recursive=True)


def test_files_come_in_the_order_of_their_names(folder: Location) -> None:
    names = [*reversed(FILES), "a.wav", "a.wav"]
    assert folder.read_many(names) == [FILES[name] for name in names]
    assert folder.read_many([]) == []
    assert {e.name: e.size for e in folder.files()} == {n: len(c) for n, c in FILES.items()}
    assert all((folder / name).read_bytes() == content for name, content in FILES.items())


def test_an_unreadable_file_is_an_error_in_its_place(folder: Location) -> None:
    first, missing, last = folder.read_many(["a.wav", "nothing", "empty"])
    assert (first, last) == (b"first", b"")
    assert isinstance(missing, FileNotFoundError)
    everything = (folder / "nothing").read_many(["a", "b"])
    assert all(isinstance(error, FileNotFoundError) for error in everything)
    with pytest.raises(FileNotFoundError):
        (folder / "nothing").read_bytes()


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (error,) = Location.of(tmp_path).read_many(["below"])
    assert isinstance(error, OSError)


def test_versions_of_an_archive_are_those_of_its_contents(tmp_path: Path) -> None:
    def versions() -> dict[str, str]:
        return {entry.name: entry.version for entry in Location.of(tmp_path / "data.zip").files()}

    zipped(tmp_path / "data.zip", FILES)
    before = versions()
    zipped(tmp_path / "data.zip", FILES | {"a.wav": b"firsT"}, zipfile.ZIP_STORED)
    after = versions()
    assert {name for name in FILES if before[name] != after[name]} == {"a.wav"}


@pytest.mark.parametrize("by", ["rename", "in place"])
def test_a_replaced_archive_is_read_again(tmp_path: Path, by: str) -> None:
    path = zipped(tmp_path / "data.zip", {"a": b"old", "gone": b"x"})
    folder = Location.of(path)
    assert folder.read_many(["a", "gone"]) == [b"old", b"x"]
    if by == "rename":
        zipped(tmp_path / "new.zip", {"b": b"", "a": b"new"}).replace(path)
    else:
        zipped(path, {"b": b"", "a": b"new"})
    content, gone = folder.read_many(["a", "gone"])
    assert content == b"new"
    assert isinstance(gone, FileNotFoundError)
    assert sorted(entry.name for entry in folder.files()) == ["a", "b"]
    path.unlink()
    assert not folder.exists()
    assert not folder.is_folder()
    assert isinstance(folder.read_many(["a"])[0], FileNotFoundError)


def test_a_replaced_archive_in_a_store_is_read_again() -> None:
    memory, folder = fsspec.filesystem("memory"), Location.of("zip://::memory://replaced.zip")
    for content in (b"old", b"new and longer"):
        with memory.open("/replaced.zip", "wb") as file, zipfile.ZipFile(file, "w") as archive:
            archive.writestr("a", content)
        assert folder.read_many(["a"]) == [content]
    memory.rm("/replaced.zip")


def test_a_damaged_member_is_an_error_and_the_others_are_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "data.zip", {"a": b"A" * 50, "b": b"B" * 50}, zipfile.ZIP_STORED)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"A" * 50, b"A" * 49 + b"x"))
    damaged, good = Location.of(path).read_many(["a", "b"])
    assert isinstance(damaged, OSError)
    assert "a: is damaged in the archive" in str(damaged)
    assert good == b"B" * 50


def test_a_damaged_directory_is_an_error_of_its_member(tmp_path: Path) -> None:
    """The directory places member a after the directory itself."""
    path = zipped(tmp_path / "data.zip", {"a": b"A" * 50, "b": b"B" * 50}, zipfile.ZIP_STORED)
    content = bytearray(path.read_bytes())
    entry = content.index(b"PK\1\2")
    content[entry + 42 : entry + 46] = len(content).to_bytes(4, "little")
    path.write_bytes(content)
    damaged, good = Location.of(path).read_many(["a", "b"])
    assert isinstance(damaged, OSError)
    assert good == b"B" * 50


@pytest.mark.parametrize(
    ("address", "code"),
    [
        ("zip://train", "unknown-protocol"),
        ("zip://", "unknown-protocol"),
        ("zip::", "no-archive-named"),
        ("zip://a::", "no-archive-named"),
    ],
)
def test_an_address_without_an_archive_is_refused(address: str, code: str) -> None:
    with raises(UserError, code):
        Location.of(address)


def test_an_archive_in_a_store_without_tags_is_opened_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    memory = fsspec.filesystem("memory")
    memory.pipe_file("/plain.zip", zipped(tmp_path / "d.zip", {"a": b"x"}).read_bytes())
    told = type(memory).info
    monkeypatch.setattr(
        type(memory), "info", lambda self, p, **kw: {**told(self, p, **kw), "created": None}
    )
    first = zip_archive.open_archive("memory://plain.zip")
    assert zip_archive.open_archive("memory://plain.zip") is first
    memory.rm("/plain.zip")


def test_an_archive_is_a_folder(tmp_path: Path) -> None:
    zipped(tmp_path / "data.zip", {"train/a.wav": b"x", "test/b.wav": b"y", "t.csv": b"id\n1\n"})
    folder = Location.of(tmp_path / "data.zip")
    assert folder.url == f"zip://::{tmp_path}/data.zip"
    assert Location.of(f"zip::{tmp_path}/data.zip") == folder
    assert Location.of(f"zip://train/::{tmp_path}/data.zip") == folder / "train"
    assert folder.local is None
    assert folder.is_folder()
    assert folder.folders() == ["test", "train"]
    assert [entry.name for entry in folder.files()] == ["t.csv"]
    assert (folder / "train").folders() == []
    assert (folder / "train").is_folder()
    assert not (folder / "t.csv").is_folder()
    assert (folder / "train/a.wav").exists()
    assert not (folder / "train/b.wav").exists()
    assert pickle.loads(pickle.dumps(folder / "train")).read_many(["a.wav"]) == [b"x"]


@pytest.mark.parametrize(
    ("url", "name", "parent", "below"),
    [
        ("/a/b", "b", "/a", "/a/b/x"),
        ("/a/zip::b", "zip::b", "/a", "/a/zip::b/x"),
        ("s3://b/c/d", "d", "s3://b/c", "s3://b/c/d/x"),
        ("zip://::/a/d.zip", "d.zip", "/a", "zip://x::/a/d.zip"),
        ("zip://e::/a/d.zip", "e", "zip://::/a/d.zip", "zip://e/x::/a/d.zip"),
        ("zip://e/f::s3://b/d.zip", "f", "zip://e::s3://b/d.zip", "zip://e/f/x::s3://b/d.zip"),
        ("simplecache::s3://b/c", "c", "simplecache::s3://b", "simplecache::s3://b/c/x"),
    ],
)
def test_addresses_of_links(url: str, name: str, parent: str, below: str) -> None:
    place = Location(url)
    assert (place.name, place.parent.url, (place / "x").url) == (name, parent, below)


def test_a_file_that_is_not_an_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"half a download")
    with raises(UserError, "not-an-archive", path=str(tmp_path / "data.zip")):
        Location.of(tmp_path / "data.zip").is_folder()
    with raises(DataError, "no-such-folder", folder=f"zip://::{tmp_path}/none.zip"):
        list_data(f"zip://::{tmp_path}/none.zip")
    (tmp_path / "folder.zip").mkdir()
    assert Location.of(tmp_path / "folder.zip").local == tmp_path / "folder.zip"


def test_an_archive_is_read_only(data: Path, tmp_path: Path) -> None:
    archive = zipped(tmp_path / "w.zip", {"a": b""})
    place = Location.of(archive)
    for write in (
        lambda: (place / "b").write_bytes(b""),
        place.remove,
        lambda: zarr_store(place),
        lambda: pending_work(RunConfig(data=str(data), workspace=str(archive)), list_data(data)),
    ):
        with raises(UserError, "read-only-archive"):
            write()


def test_a_folder_in_the_archive_is_named(tmp_path: Path) -> None:
    zipped(tmp_path / "data.zip", {"mine/train/a.wav": b"x"})
    with pytest.raises(DataError, match=rf"use zip://mine::{tmp_path}/data.zip"):
        list_data(tmp_path / "data.zip")


# --- clips --------------------------------------------------------------------------------------


@pytest.fixture
def clips(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Seven files in groups of two: one is missing, one is silent, one is no sound."""
    monkeypatch.setattr(group_reading, "LOCAL_GROUP_FILES", 2)
    monkeypatch.setattr(group_reading, "CACHED_SECONDS", 0)
    random = np.random.default_rng(0)
    for index in range(7):
        samples = random.integers(-999, 999, 100, dtype=np.int16) * (index != 2)
        soundfile.write(tmp_path / f"{index}.wav", samples, 100)
    (tmp_path / "3.wav").write_bytes(b"no sound")
    (tmp_path / "5.wav").unlink()
    return [f"{index}.wav" for index in range(7)]


def readers() -> list[threading.Thread]:
    return [
        thread for thread in threading.enumerate() if thread.name.startswith("overlap-prefetch")
    ]


def test_contents_come_in_order_and_so_do_errors(tmp_path: Path, clips: list[str]) -> None:
    data = Location.of(tmp_path)
    found = [*read_ahead(data, clips, WANTED)]
    assert [isinstance(content, OSError) for content in found] == [n == 5 for n in range(7)]
    for number in (0, 1, 2, 3, 4, 6):
        assert found[number] == (tmp_path / clips[number]).read_bytes()
    assert [*read_ahead(data, [], WANTED)] == []
    assert not readers()


def test_quick_reads_need_no_thread(
    tmp_path: Path, clips: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_reading, "CACHED_SECONDS", 60)
    some = read_ahead(Location.of(tmp_path), clips, WANTED)
    assert next(some) == (tmp_path / clips[0]).read_bytes()
    assert not readers()
    assert len([*some]) == 6


def test_a_content_gives_a_clip_or_the_reason(tmp_path: Path, clips: list[str]) -> None:
    out = np.full((7, 100), np.nan, np.float32)
    reasons = {}
    for number, content in enumerate(read_ahead(Location.of(tmp_path), clips, WANTED)):
        try:
            clip = decode_content(content, WANTED, out[number])
        except AudioError as error:
            reasons[number] = str(error)
            continue
        expected = load_clip(Location.of(tmp_path), clips[number], WANTED)
        assert digest(clip) == digest(expected)
        assert np.array_equal(out[number], expected.samples)
        assert np.shares_memory(out[number], clip.samples)
    assert reasons.keys() == {2, 3, 5}
    assert reasons[2] == "silent"
    assert reasons[3].startswith("unreadable")
    assert reasons[5] == "cannot be opened (No such file or directory)"


def test_a_file_above_the_limit_is_not_read(folder: Location) -> None:
    first, large, missing, empty = folder.read_many(["a.wav", "large", "nothing", "empty"], 100)
    assert (first, empty) == (b"first", b"")
    assert isinstance(large, TooLargeError)
    assert isinstance(missing, FileNotFoundError)
    assert folder.read_many(["large"], len(FILES["large"])) == [FILES["large"]]
    assert isinstance(folder.read_many(["large"], len(FILES["large"]) - 1)[0], TooLargeError)


def test_an_endless_file_stops_at_the_limit(tmp_path: Path) -> None:
    (tmp_path / "endless").symlink_to("/dev/zero")
    (endless,) = Location.of(tmp_path).read_many(["endless"], 1 << 20)
    assert isinstance(endless, TooLargeError)


@pytest.mark.parametrize("where", ["local", "memory"])
def test_large_files_are_read_when_their_turn_comes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    monkeypatch.setattr(group_reading, "GROUP_BYTES", 1 << 16)
    for module in (group_reading, clips_module):
        monkeypatch.setattr(module, "max_file_bytes", lambda _: 1 << 19)
    monkeypatch.setattr(group_reading, "CACHED_SECONDS", 0)
    top = Location.of(tmp_path if where == "local" else f"memory://{tmp_path.name}")
    contents = {str(n): bytes([n]) * (n % 3 * 100_000 + 10) for n in range(70)}
    contents["9"] = bytes(1 << 20)
    for name, content in contents.items():
        (top / name).write_bytes(content)
    found = dict(zip(contents, read_ahead(top, [*contents], WANTED), strict=True))
    assert isinstance(found["9"], TooLargeError)
    with raises(AudioError, "file-too-large", limit_bytes=1 << 19):
        decode_content(found.pop("9"), WANTED)
    assert all(found[name] == contents[name] for name in found)
    if where == "memory":
        fsspec.filesystem("memory").rm(f"/{tmp_path.name}", recursive=True)


def test_no_thread_is_left(tmp_path: Path, clips: list[str]) -> None:
    some = read_ahead(Location.of(tmp_path), clips, WANTED)
    next(some)
    assert readers()
    some.close()
    assert not readers()
    nowhere = read_ahead(Location.of("zip://::" + str(tmp_path / "0.wav")), clips, WANTED)
    with raises(UserError, "not-an-archive"):
        next(nowhere)
    assert not readers()


def test_the_digest_names_the_samples(tmp_path: Path, clips: list[str]) -> None:
    data = Location.of(tmp_path)
    names = {digest(load_clip(data, file, WANTED)) for file in ("0.wav", "1.wav", "4.wav")}
    assert len(names) == 3
    assert all(len(name) == 32 and int(name, 16) >= 0 for name in names)


def test_clips_in_an_archive_are_listed(tmp_path: Path, clips: list[str]) -> None:
    path = zipped(tmp_path / "c.zip", {f"deep/{f}": b"x" for f in ("a.wav", "._a.wav", "b.txt")})
    assert list_clips(Location.of(path) / "deep").files["file"].tolist() == ["a.wav"]


def test_every_method_of_reading_is_measured() -> None:
    rows = bench_reading(WANTED, files=5, rounds=2)
    assert [row.name for row in rows] == [*READERS]
    assert all(row.files_per_cpu_second > 0 for row in rows)
    assert rows[-1].ratio == 1
