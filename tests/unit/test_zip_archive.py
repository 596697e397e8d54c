"""Malicious and damaged zip archives."""

import struct
import tracemalloc
import zipfile
from pathlib import Path

import pytest

from overlap.io.bulk_read import TooLargeError
from overlap.io.location import Location

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
