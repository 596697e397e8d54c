"""Recordings of words for several processes: the first that needs one decodes it for all.

Their samples are in a temporary file that every process maps into memory. The file has no name once
it is open, so that nothing of it is left however the processes end. It is sparse: a recording that
nobody needs takes no space. The environment variable `TMPDIR` chooses its folder.
"""

import fcntl
import mmap
import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from multiprocessing.reduction import DupFd
from typing import Any, Final

import numpy as np

from overlap.config import AudioFormat
from overlap.synthetic.recordings import Recording, decode_recording, load_recording

PART_OF_FREE: Final = 0.5
"""Part of the free space of the temporary folder that the file may take."""
WORD: Final = np.dtype(
    [("decoded", "?"), ("rms", "<f8"), ("before", "<i8"), ("after", "<i8")], True
)
"""A row of the table at the start of the file; the samples of all recordings follow it."""
SAMPLE: Final = np.dtype("<f4")


@contextmanager
def shared_recordings(files: Sequence[str], wanted: AudioFormat) -> Iterator["SharedRecordings"]:
    """Share recordings with the processes that are started in the block.

    Recordings for which the temporary folder has no space are not shared.

    Args:
        files: All recordings.
        wanted: Sample rate and length.
    """
    size = WORD.itemsize + wanted.samples * SAMPLE.itemsize
    with ExitStack() as stack:
        try:
            free = shutil.disk_usage(tempfile.gettempdir()).free
            shared = min(len(files), int(PART_OF_FREE * free / size))
            file = stack.enter_context(tempfile.TemporaryFile(buffering=0)).fileno()
            os.truncate(file, shared * size)
            recordings = SharedRecordings(file, files[:shared], wanted)
        except OSError:  # no folder, no space, or a limit of the address space
            recordings = SharedRecordings(-1, (), wanted)
        yield recordings


class SharedRecordings:
    """Recordings that are decoded once by all processes that have this object.

    It can be passed to a process when the process is started.

    Args:
        file: Descriptor of the temporary file.
        files: The recordings for which it has space.
        wanted: Sample rate and length of all recordings.
    """

    def __init__(self, file: int, files: Sequence[str], wanted: AudioFormat) -> None:
        self._file, self._files, self._wanted = file, tuple(files), wanted
        self._rows = {name: row for row, name in enumerate(self._files)}
        self._known: dict[str, Recording] = {}
        if self._files:
            memory = mmap.mmap(file, 0)
            self._words = np.frombuffer(memory, WORD, len(self._files))
            samples = np.frombuffer(memory, SAMPLE, offset=self._words.nbytes)
            self._samples = samples.reshape(-1, wanted.samples)

    def __reduce__(self) -> tuple[Any, ...]:
        file = DupFd(self._file) if self._files else None
        return _received, (file, self._files, self._wanted)

    def load(self, file: str) -> Recording:
        """Return a recording of any file.

        Raises:
            UserError: it is unusable (`unusable-recording`).
        """
        known = self._known.get(file)
        if known is None:
            row = self._rows.get(file)
            if row is None or not self._decode(row):
                return load_recording(file, self._wanted)
            _, rms, before, after = self._words[row].tolist()
            known = self._known[file] = Recording(self._samples[row], rms, before, after)
        return known

    def _decode(self, row: int) -> bool:
        """Decode a recording unless another process has; return whether the file contains it."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX, 1, row)
        except OSError:  # a file system without locks
            return False
        try:
            if not self._words[row]["decoded"]:
                recording = decode_recording(self._files[row], self._wanted)
                samples = recording.samples.astype(SAMPLE).tobytes()
                word = np.array((True, recording.rms, recording.before, recording.after), WORD)
                # Not through the mapping: without space, that would kill the process.
                write_at(self._file, samples, self._words.nbytes + row * len(samples))
                write_at(self._file, word.tobytes(), row * WORD.itemsize)
        except OSError:  # no space
            return False
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, row)
        return True


def write_at(file: int, content: bytes | bytearray, offset: int) -> None:
    """Write all bytes at an offset of an open file."""
    rest = memoryview(content)
    while rest:  # a disk that fills up takes a part, and refuses the rest
        count = os.pwrite(file, rest, offset)
        offset, rest = offset + count, rest[count:]


def _received(file: Any, files: tuple[str, ...], wanted: AudioFormat) -> SharedRecordings:  # noqa: ANN401
    return SharedRecordings(file.detach() if file else -1, files, wanted)
