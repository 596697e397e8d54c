"""What decoding a clip tells: its digest, the repairs it needs, or why it cannot be used."""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import pandas as pd

from overlap.audio import Clip, decode
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.storage import Location

NOT_OPENED = "cannot be opened"
"""Begins the reason that says nothing of the clip: the next run tries again."""
BATCH = 512
"""Files inspected by one call; on a cluster one task."""

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
    return pd.DataFrame([_inspect_file(job, file) for file in job.files], columns=list(COLUMNS))


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
    return hashlib.blake2b(clip.samples.tobytes(), digest_size=16).hexdigest()


def load_clip(data: Location, file: str, wanted: AudioFormat) -> Clip:
    """Read and decode one file.

    Raises:
        AudioError: it cannot be read or decoded.
    """
    try:
        content = (data / file).read_bytes()
    except OSError as error:
        raise AudioError(f"{NOT_OPENED} ({error.strerror or error})") from None
    return decode(content, wanted)


def _inspect_file(job: InspectionJob, file: str) -> tuple[str, str, bool, str]:
    try:
        clip = load_clip(job.data, file, job.wanted)
    except AudioError as error:
        return "", "", False, str(error)
    return digest(clip), " ".join(clip.repairs), clip.clipped, ""
