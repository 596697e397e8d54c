"""Removing files from the page cache, and counting what the disk delivers."""

import os
import sys
from pathlib import Path

import pytest

from overlap.system.resources.page_cache import bytes_read, evict
from support.file_systems import file_system_of

SIZE = 4 << 20


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux counts what disks deliver")
def test_an_evicted_file_comes_from_the_disk(tmp_path: Path) -> None:
    if file_system_of(tmp_path) == "tmpfs":
        pytest.skip("the temporary folder is memory")
    file = tmp_path / "below" / "file"
    file.parent.mkdir()
    file.write_bytes(os.urandom(SIZE))
    before = bytes_read()
    file.read_bytes()
    assert bytes_read() - before < SIZE / 2, "the cache does not hold a file that was just written"
    evict(tmp_path)
    before = bytes_read()
    file.read_bytes()
    assert bytes_read() - before >= SIZE


def test_an_empty_or_missing_folder_is_no_error(tmp_path: Path) -> None:
    evict(tmp_path)
    evict(tmp_path / "none")
    assert bytes_read() >= 0
