"""Inspection of clips by decoding them: digest, repairs, or the reason why a clip is unusable."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar, overload

import pandas as pd

from overlap.audio.clips import decode_content, digest
from overlap.catalog.read_ahead import read_ahead
from overlap.columns.frames import FrameBuilder
from overlap.columns.texts import Texts, arrow_texts
from overlap.config import AudioFormat
from overlap.errors import AudioError
from overlap.io.bulk_read import Read
from overlap.io.location import Location

BATCH = 512
"""Files inspected by one call, which is one task on a cluster."""

Job = TypeVar("Job")
Result = TypeVar("Result")


class Runner(Protocol):
    """Applies a function to jobs, in any order and anywhere; results come in the jobs' order."""

    def __call__(
        self, function: Callable[[Job], Result], jobs: Sequence[Job], /
    ) -> Iterable[Result]:
        """Return the results of `function` for each job, in the order of `jobs`."""
        ...


@dataclass(frozen=True)
class InspectionJob:
    """A batch of files of one data folder."""

    data: Location
    """The folder."""
    files: tuple[str, ...]
    """Paths relative to it."""
    wanted: AudioFormat
    """The clip format to decode to."""


TYPES: Final[Mapping[str, Any]] = {
    "digest": "str", "repairs": "str", "clipped": "bool", "reason": "str",
}  # fmt: skip
COLUMNS = tuple(TYPES)
"""Columns of an inspection, and their types in the catalogue. An unusable clip has a reason, and
neither digest nor repairs."""


def inspect(job: InspectionJob) -> pd.DataFrame:
    """Decode files; return one row per file, in the job's order, with `COLUMNS`."""
    rows = [_row_of(content, job.wanted) for content in read_ahead(job.data, job.files, job.wanted)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


class InspectionJobs(Sequence[InspectionJob]):
    """The files of one data folder in batches, which exist one at a time."""

    def __init__(self, data: Location, files: Texts, wanted: AudioFormat) -> None:
        self._data, self._files, self._wanted = data, arrow_texts(files), wanted

    @property
    def files(self) -> int:
        """Number of files."""
        return len(self._files)

    def __len__(self) -> int:
        return (self.files + BATCH - 1) // BATCH

    @overload
    def __getitem__(self, index: int) -> InspectionJob: ...
    @overload
    def __getitem__(self, index: slice) -> list[InspectionJob]: ...
    def __getitem__(self, index: int | slice) -> InspectionJob | list[InspectionJob]:
        if isinstance(index, slice):
            return [self[number] for number in range(len(self))[index]]
        if not 0 <= index < len(self):
            raise IndexError(index)
        files = self._files.slice(index * BATCH, BATCH).to_pylist()
        return InspectionJob(self._data, tuple(files), self._wanted)


def inspect_files(data: Location, files: Texts, wanted: AudioFormat, run: Runner) -> pd.DataFrame:
    """Inspect any number of files in batches; return their rows in the order of `files`."""
    jobs, rows = InspectionJobs(data, files, wanted), FrameBuilder(TYPES)
    for inspected in run(inspect, jobs) if len(jobs) else ():
        rows.add(inspected)
    return rows.finish()


def _row_of(content: Read, wanted: AudioFormat) -> tuple[str, str, bool, str]:
    try:
        clip = decode_content(content, wanted)
    except AudioError as error:
        return "", "", False, str(error)
    return digest(clip), " ".join(clip.repairs), clip.clipped, ""
