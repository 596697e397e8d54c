"""Recordings that several processes share."""

import errno
import mmap
import os
import shutil
import tempfile
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from overlap.config import AudioFormat
from overlap.errors import UserError
from overlap.synthetic import shared_recordings as shared_recordings_module
from overlap.synthetic.recordings import Recording, decode_recording
from overlap.synthetic.shared_recordings import SharedRecordings, shared_recordings
from overlap.system.process_pool import process_pool
from support.errors import raises
from support.file_systems import largest_file

WANTED = AudioFormat(16_000, 16_000)
of_this_process: SharedRecordings


@pytest.fixture
def files(words: Path, tmp_path: Path) -> list[str]:
    folder = shutil.copytree(words / "up", tmp_path / "up")
    return sorted(map(str, folder.iterdir()))


def is_equal(first: Recording, second: Recording) -> bool:
    return np.array_equal(first.samples, second.samples) and (
        (first.rms, first.before, first.after) == (second.rms, second.before, second.after)
    )


def start(shared: SharedRecordings) -> None:
    global of_this_process  # noqa: PLW0603  it is received when the process starts
    of_this_process = shared


def load(file: str) -> Recording:
    return of_this_process.load(file)


def test_a_recording_is_what_is_decoded(files: list[str]) -> None:
    with shared_recordings(files, WANTED) as shared:
        for file in files + files:
            assert is_equal(shared.load(file), decode_recording(file, WANTED))


def test_a_process_reads_what_another_decoded(files: list[str]) -> None:
    """The files are removed once one process has decoded them, so that nobody else can."""
    expected = {file: decode_recording(file, WANTED) for file in files}
    with shared_recordings(files, WANTED) as shared:
        for file in files[:3]:
            shared.load(file)
            Path(file).unlink()
        with process_pool(1, partial(start, shared)) as pool:
            for file in files[:5]:
                assert is_equal(pool.submit(load, file).result(), expected[file])
            for file in files:
                Path(file).unlink(missing_ok=True)
            assert is_equal(shared.load(files[4]), expected[files[4]])
            with raises(UserError, "unusable-recording", file=files[5]):
                pool.submit(load, files[5]).result()
        with raises(UserError, "unusable-recording", file=files[5]):
            shared.load(files[5])


def test_recordings_that_nobody_needs_take_no_space(files: list[str]) -> None:
    many = [*files, *(f"{number}.flac" for number in range(1000))]
    with shared_recordings(many, WANTED) as shared:
        shared.load(files[0])
        status = os.fstat(shared._file)
        assert status.st_size > 1000 * 64_000
        assert status.st_blocks * 512 < 10 * 64_000


def no_memory(*_arguments: object) -> None:
    raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def test_a_temporary_folder_without_space(
    files: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every process decodes for itself what the folder does not take."""
    expected = {file: decode_recording(file, WANTED) for file in files}

    def all_equal(shared: SharedRecordings) -> bool:
        return all(is_equal(shared.load(file), expected[file]) for file in files)

    with shared_recordings(files, WANTED) as shared, largest_file(70_000):
        assert all_equal(shared)  # the file takes the first recording only
    with largest_file(100), shared_recordings(files, WANTED) as shared:
        assert all_equal(shared)
    monkeypatch.setattr(shared_recordings_module, "PART_OF_FREE", 0.0)
    with shared_recordings(files, WANTED) as shared:
        assert all_equal(shared)
        with process_pool(1, partial(start, shared)) as pool:
            assert is_equal(pool.submit(load, files[0]).result(), expected[files[0]])
    with monkeypatch.context() as patch:
        patch.setattr(mmap, "mmap", no_memory)
        with shared_recordings(files, WANTED) as shared:
            assert all_equal(shared)
    monkeypatch.setattr(tempfile, "tempdir", "/nonexistent/folder")
    with shared_recordings(files, WANTED) as shared:
        assert all_equal(shared)
