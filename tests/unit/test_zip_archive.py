"""Malicious and damaged zip archives."""

import struct
import threading
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from overlap.io import zip_archive
from overlap.io.bulk_read import TooLargeError
from overlap.io.location import Location
from support.trials import trial

MOST = 1 << 20
"""Limit for the size of a file in these tests, bytes."""
BOMB = 200 << 20


def archive(path: Path, files: dict[str, bytes], how: int = zipfile.ZIP_DEFLATED) -> Location:
    with zipfile.ZipFile(path, "w", how) as made:
        for name, content in files.items():
            made.writestr(name, content)
    return Location.of(path)


def understate_size(path: Path, size: int) -> None:
    """Change the size of the first member in the archive's directory, bytes."""
    content = bytearray(path.read_bytes())
    struct.pack_into("<I", content, content.index(b"PK\1\2") + 24, size)
    path.write_bytes(content)


def test_names_that_point_outside_have_no_effect(tmp_path: Path) -> None:
    outside = tmp_path / "outside.wav"
    outside.write_bytes(b"outside")
    names = ["../outside.wav", "train/../../outside.wav", str(outside), "..\\outside.wav", "a.wav"]
    (tmp_path / "in").mkdir()
    folder = archive(tmp_path / "in" / "data.zip", dict.fromkeys(names, b"inside"))
    for name in [*names, "../../outside.wav"]:
        (content,) = folder.read_many([name], MOST)
        assert content == b"inside" or isinstance(content, OSError), name
    assert {entry.name for entry in folder.files()} >= {"a.wav"}
    assert outside.read_bytes() == b"outside"
    assert {path.name for path in tmp_path.iterdir()} == {"in", "outside.wav"}


@pytest.mark.parametrize("how", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_bomb_is_not_unpacked(tmp_path: Path, how: int) -> None:
    """Neither with its true size in the directory nor with a false one."""
    path = tmp_path / "data.zip"
    folder = archive(path, {"bomb.wav": bytes(BOMB)}, how)
    assert path.stat().st_size < MOST
    tracemalloc.start()
    try:
        (honest,) = folder.read_many(["bomb.wav"], MOST)
        understate_size(path, 1000)
        (false,) = Location.of(path).read_many(["bomb.wav"], MOST)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert isinstance(honest, TooLargeError)
    assert isinstance(false, OSError)
    assert "bomb.wav" in str(false)
    assert peak < 4 * MOST


def test_a_member_that_is_larger_compressed_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    archive(path, {"a.wav": bytes(range(256)) * 400}, zipfile.ZIP_STORED)
    understate_size(path, 10)
    (found,) = Location.of(path).read_many(["a.wav"], MOST)
    assert isinstance(found, OSError)
    assert "a.wav" in str(found)


def test_an_unsupported_member_yields_its_reason(tmp_path: Path) -> None:
    path = tmp_path / "data.zip"
    archive(path, {"a.wav": b"content"}, zipfile.ZIP_LZMA)
    (found,) = Location.of(path).read_many(["a.wav"])
    assert "method 14" in str(found)
    archive(path, {"a.wav": b"content"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    (found,) = Location.of(path).read_many(["a.wav"])
    assert "encrypted" in str(found)


@trial(
    "R",
    "an archive on an object store that answers slowly, while others are read",
    source="own",
    before="every archive waited for it",
    now="only its own readers wait",
)
def test_a_slow_archive_does_not_keep_others_waiting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a.zip", "b.zip"):
        archive(tmp_path / name, {"x": b"x"})
    opened, free, entered = zip_archive._opened, threading.Event(), threading.Event()

    def slowly(container: object, path: str, address: str) -> zip_archive.Archive:
        if address.endswith("a.zip"):
            entered.set()
            assert free.wait(30)
        return opened(container, path, address)

    monkeypatch.setattr(zip_archive, "_opened", slowly)
    threads = {
        name: threading.Thread(
            target=zip_archive.open_archive, args=(str(tmp_path / name),), daemon=True
        )
        for name in ("a.zip", "b.zip")
    }
    threads["a.zip"].start()
    assert entered.wait(30)
    threads["b.zip"].start()
    threads["b.zip"].join(30)
    assert not threads["b.zip"].is_alive()
    assert threads["a.zip"].is_alive()
    free.set()
    threads["a.zip"].join(30)
    assert not threads["a.zip"].is_alive()
