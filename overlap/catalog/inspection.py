"""What decoding a clip tells: its digest, the repairs it needs, or why it cannot be used."""

import time
from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from overlap.audio.decode import Clip, decode, max_file_bytes
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.io.bulk_read import Read, TooLargeError
from overlap.io.location import Location

NOT_OPENED = "cannot be opened"
"""Begins the reason that says nothing of the clip: the next run tries again."""
DIGEST = "xxh3-128"
"""What `digest` is made by; a catalogue says it, so that digests of another kind are renewed."""
BATCH = 512
"""Files inspected by one call; on a cluster one task."""
REMOTE_AT_ONCE = 128
"""Files that `read_ahead` asks of an object store at once, enough to keep the connections busy."""
LOCAL_AT_ONCE = 32
"""Files that it reads of a local folder: what was read is decoded while it lies in the cache."""
GROUP_BYTES = 64 << 20
"""Bytes of such a group, at most, whatever lies in the folder. Two are held: 8 MB of clips of one
second. A file that is larger than its part of this is read alone, when its turn comes."""
USUAL_BYTES_PER_SAMPLE = 4
"""Of a clip that is read with its group: 16 bits of stereo, or of twice the wanted rate."""
QUICK_SECONDS = 50e-6
"""Per file: what takes longer comes from a disk or a network, not from the page cache."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Runner(Protocol):
    """Applies a function to jobs, in any order and anywhere; results come in the jobs' order."""

    def __call__(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], /
    ) -> Iterable[Result]:
        """Results of `function` for each job, in the order of `jobs`."""
        ...


@dataclass(frozen=True)
class InspectionJob:
    """Some files of one data folder."""

    data: Location
    """The folder."""
    files: tuple[str, ...]
    """Files below it."""
    wanted: AudioFormat
    """The clip that they must give."""


COLUMNS = ("digest", "repairs", "clipped", "reason")
"""Columns of an inspection: digest and repairs are empty and reason is set for a bad clip."""


def inspect(job: InspectionJob) -> pd.DataFrame:
    """Decode files; one row each, in the job's order, with `COLUMNS`."""
    rows = [_row(content, job.wanted) for content in read_ahead(job.data, job.files, job.wanted)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def inspect_files(
    data: Location, files: Sequence[str], wanted: AudioFormat, run: Runner
) -> pd.DataFrame:
    """Inspect any number of files in batches; the rows are in the order of `files`."""
    jobs = [
        InspectionJob(data, tuple(files[start : start + BATCH]), wanted)
        for start in range(0, len(files), BATCH)
    ]
    empty = pd.DataFrame(columns=list(COLUMNS))
    return pd.concat([*run(inspect, jobs)], ignore_index=True) if jobs else empty


def digest(clip: Clip) -> str:
    """Name of a clip's samples: equal audio has equal digests, whatever its file."""
    return xxh3_128_hexdigest(clip.samples.data)


def load_clip(data: Location, file: str, wanted: AudioFormat) -> Clip:
    """Read and decode one file.

    Raises:
        AudioError: it cannot be read or decoded.
    """
    (content,) = data.read_many([file], max_file_bytes(wanted))
    return decoded(content, wanted)


def group_of(wanted: AudioFormat, *, remote: bool) -> tuple[int, int]:
    """Files that are read at once, and how many bytes of each.

    Examples:
        >>> group_of(AudioFormat(16000, 16000), remote=True)
        (128, 524288)
        >>> group_of(AudioFormat(48000, 60 * 48000), remote=True)
        (5, 13421772)
    """
    usual = USUAL_BYTES_PER_SAMPLE * wanted.samples
    size = max(1, min(REMOTE_AT_ONCE if remote else LOCAL_AT_ONCE, GROUP_BYTES // usual))
    return size, GROUP_BYTES // size


def read_ahead(data: Location, files: Sequence[str], wanted: AudioFormat) -> Generator[Read]:
    """Contents of many files; where reading takes time, one group ahead of their use.

    Files are read in groups of at most `REMOTE_AT_ONCE` or `LOCAL_AT_ONCE`. A thread reads the next
    group while one is used, unless that took less than `QUICK_SECONDS` a file: from the page cache,
    where there is nothing to wait for, two threads that hand the interpreter's lock to each other
    take three times as long. The thread ends with the generator, also when that is closed early.

    In memory there are at most two groups, of `GROUP_BYTES` each, and one file of `max_file_bytes`.

    Args:
        data: The folder.
        files: Files below it.
        wanted: The clip that they are read for; it tells how large a file may be.

    Yields:
        Per file, in the order of `files`: its content, or why it cannot be read.
    """
    size, most = group_of(wanted, remote=data.local is None)

    def read(group: Sequence[str]) -> tuple[list[Read], float]:
        started = time.perf_counter()
        return data.read_many(group, most), time.perf_counter() - started

    groups = [files[start : start + size] for start in range(0, len(files), size)]
    ahead: Future[tuple[list[Read], float]] | None = None
    with ThreadPoolExecutor(1, thread_name_prefix="overlap-read") as reader:
        for group, following in zip_longest(groups, groups[1:]):
            contents, seconds = ahead.result() if ahead else read(group)
            slow = seconds > QUICK_SECONDS * len(group)
            ahead = reader.submit(read, following) if slow and following else None
            for file, content in zip(group, contents, strict=True):
                if isinstance(content, TooLargeError):
                    yield from data.read_many([file], max_file_bytes(wanted))
                else:
                    yield content


def decoded(content: Read, wanted: AudioFormat, out: NDArray[np.float32] | None = None) -> Clip:
    """The clip of a file's content; see `overlap.audio.decode.decode`.

    Raises:
        AudioError: it could not be read, is far larger than a clip, or cannot be decoded.
    """
    if isinstance(content, TooLargeError):
        seconds, most = wanted.samples / wanted.rate_hz, max_file_bytes(wanted) / 1e6
        raise AudioError(
            f"too large ({content.strerror}; a file for {seconds:g} s may have {most:.1f} MB)"
        )
    if isinstance(content, OSError):
        raise AudioError(f"{NOT_OPENED} ({content.strerror or content})")
    return decode(content, wanted, out)


def _row(content: Read, wanted: AudioFormat) -> tuple[str, str, bool, str]:
    try:
        clip = decoded(content, wanted)
    except AudioError as error:
        return "", "", False, str(error)
    return digest(clip), " ".join(clip.repairs), clip.clipped, ""
