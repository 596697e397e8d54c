"""What decoding a clip tells: its digest, the repairs it needs, or why it cannot be used."""

from collections.abc import Callable, Generator, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from xxhash import xxh3_128_hexdigest

from overlap.audio import Clip, decode
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.reading import Read
from overlap.storage import Location

NOT_OPENED = "cannot be opened"
"""Begins the reason that says nothing of the clip: the next run tries again."""
DIGEST = "xxh3-128"
"""What `digest` is made by; a catalogue says it, so that digests of another kind are renewed."""
BATCH = 512
"""Files inspected by one call; on a cluster one task."""
READ_AT_ONCE = 128
"""Files that `read_ahead` reads at once: enough to keep the connections to an object store busy.
It holds two such groups in memory, 8 MB of clips of one second."""

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
    rows = [_row(content, job.wanted) for content in read_ahead(job.data, job.files)]
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
    (content,) = data.read_many([file])
    return decoded(content, wanted)


def read_ahead(data: Location, files: Sequence[str]) -> Generator[Read]:
    """Contents of many files; one group is read while the one before it is used.

    One thread reads `READ_AT_ONCE` files at a time and is never more than one group ahead. It
    ends with the generator, also when that is closed early or fails.

    Args:
        data: The folder.
        files: Files below it.

    Yields:
        Per file, in the order of `files`: its content, or why it cannot be read.
    """
    groups = [files[start : start + READ_AT_ONCE] for start in range(0, len(files), READ_AT_ONCE)]
    with ThreadPoolExecutor(1, thread_name_prefix="overlap-read") as reader:
        ahead: Future[list[Read]] | None = None
        for number in range(len(groups)):
            now = ahead or reader.submit(data.read_many, groups[number])
            contents = now.result()
            last = number + 1 == len(groups)
            ahead = None if last else reader.submit(data.read_many, groups[number + 1])
            yield from contents


def decoded(content: Read, wanted: AudioFormat, out: NDArray[np.float32] | None = None) -> Clip:
    """The clip of a file's content; see `overlap.audio.decode`.

    Raises:
        AudioError: it could not be read, or cannot be decoded.
    """
    if isinstance(content, OSError):
        raise AudioError(f"{NOT_OPENED} ({content.strerror or content})")
    return decode(content, wanted, out)


def _row(content: Read, wanted: AudioFormat) -> tuple[str, str, bool, str]:
    try:
        clip = decoded(content, wanted)
    except AudioError as error:
        return "", "", False, str(error)
    return digest(clip), " ".join(clip.repairs), clip.clipped, ""
