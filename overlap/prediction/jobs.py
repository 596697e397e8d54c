"""Splits a folder of clips into jobs; each job stores one chunk of predictions.

A job has some thousand clips. Its result is one small file in the workspace. The file's name
derives from the clips and their versions, that of its folder from the data and the ensemble: a
repeated or resumed prediction computes only the missing chunks.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.audio.clips import NOT_OPENED
from overlap.catalog import Listing, clips_to_predict
from overlap.catalog.cell_text import normal_text
from overlap.catalog.problems import Problems
from overlap.config import FeatureConfig, fingerprint
from overlap.ensemble.pooling import Pool
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import CorruptError, DataError, MemberError
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import MODEL_FILE, WorkspacePaths
from overlap.metrics.disagreement import spread_column
from overlap.training.spec import MemberRecord, records_of

JOB_CLIPS = 4096
"""Clips per job. Starting a process and loading the networks takes seconds; a larger job would
lose more work when a worker dies."""


class PredictionJob(Record):
    """Clips of a folder that one process predicts."""

    ensemble: str
    """Address of the record of the ensemble."""
    members: tuple[str, ...]
    """Fingerprints of the members that predict: all members of the ensemble, or some."""
    pool: Pool
    """How their predictions are pooled."""
    features: FeatureConfig
    """The features that the members were trained on."""
    data: str
    """Address of the folder."""
    files: tuple[str, ...]
    """Addresses of the files below the folder."""
    out: str
    """Address of the file that receives the chunk."""


STORED_AS = {
    "probabilities": "shares",
    "disagreement": "spread",
    "reason": "reason",
    "repairs": "repairs",
    "clipped": "clipped",
}
"""The keys of a chunk's arrays in its file, by field."""


@dataclass(frozen=True, eq=False)
class PredictionChunk:
    """The result of a job, with one row per file."""

    probabilities: NDArray[np.float32]
    """(clips, words) pooled probabilities; NaN for unusable clips."""
    disagreement: NDArray[np.float32]
    """(clips,) disagreement of the members, nats (`overlap.metrics.disagreement`); NaN for
    unusable clips."""
    reason: NDArray[np.str_]
    """(clips,) why the clip is unusable; empty for usable clips."""
    repairs: NDArray[np.str_]
    """(clips,) names of the repairs, separated by spaces."""
    clipped: NDArray[np.bool_]
    """(clips,) whether many samples are at full scale."""

    @property
    def complete(self) -> bool:
        """Whether every file could be opened; a job with unopened files runs again."""
        return not np.char.startswith(self.reason, NOT_OPENED).any()

    def write(self, location: Location) -> None:
        """Write the chunk."""
        location.write_arrays({key: getattr(self, name) for name, key in STORED_AS.items()})

    @classmethod
    def read(cls, location: Location) -> "PredictionChunk":
        """Read a chunk.

        Raises:
            OSError: The file is missing.
            CorruptError: The file is damaged.
            KeyError: The file holds other arrays.
        """
        arrays = location.read_arrays()
        return cls(**{name: arrays[key] for name, key in STORED_AS.items()})


@dataclass(frozen=True, eq=False)
class PredictionPlan:
    """A folder of clips and the jobs that predict them."""

    ensemble: EnsembleRecord
    data: str
    """Address of the folder."""
    words: tuple[str, ...]
    """Columns of the output, in order."""
    clips: pd.DataFrame
    """table_id, file and version of every row of the output, in order; the index is the position
    of the clip among the clips of all jobs."""
    jobs: tuple[PredictionJob, ...]
    """Together they contain every clip once, in the order of the ids."""
    warnings: tuple[str, ...] = ()
    """Lines about files that are not used and cells that were normalised."""

    def missing(self) -> list[PredictionJob]:
        """Return the jobs that have not run, or that could not open all of their files."""
        chunks = ((job, read_chunk(job)) for job in self.jobs)
        return [job for job, chunk in chunks if chunk is None or not chunk.complete]


def plan_prediction(
    workspace: Location, owner: Location, ensemble: EnsembleRecord, listing: Listing
) -> PredictionPlan:
    """Split a folder of clips into jobs.

    Args:
        workspace: The workspace that stores the chunks.
        owner: The workspace of the ensemble.
        ensemble: The ensemble.
        listing: The listed folder.

    Raises:
        DataError: The folder or its template does not fit the ensemble.
        MemberError: Members of the ensemble no longer exist.
    """
    members = members_of(owner, ensemble)
    problems = Problems([*listing.problems.found])
    clips, words = clips_to_predict(listing, problems), _columns(listing, ensemble.words)
    data = str(listing.data)
    jobs = jobs_for(workspace, owner, ensemble, members, data, clips.sort_index())
    return PredictionPlan(ensemble, data, words, clips, jobs, tuple(problems.warnings))


def members_of(owner: Location, ensemble: EnsembleRecord) -> list[MemberRecord]:
    """Return the records of the members of an ensemble.

    Raises:
        MemberError: Some members no longer exist (code `members-missing`).
    """
    try:
        return records_of(owner, ensemble.members)
    except MemberError as error:
        raise MemberError(
            f"ensemble {ensemble.version}: {error}",
            code=error.code, version=ensemble.version, missing=error.fields.get("missing"),
        ) from None  # fmt: skip


def jobs_for(
    workspace: Location,
    owner: Location,
    ensemble: EnsembleRecord,
    members: Sequence[MemberRecord],
    data: str,
    clips: pd.DataFrame,
) -> tuple[PredictionJob, ...]:
    """Return the jobs that predict clips with an ensemble, or with some of its members.

    Args:
        workspace: The workspace that stores the chunks.
        owner: The workspace of the ensemble.
        ensemble: The ensemble.
        members: The members that predict.
        data: Address of the folder.
        clips: `file` and `version` of each clip.
    """
    networks = [member.files[MODEL_FILE] for member in members]
    folder = WorkspacePaths(workspace).predictions / fingerprint(
        data, ensemble.fingerprint, networks
    )
    names = tuple(member.fingerprint for member in members)
    shared: dict[str, Any] = {
        "ensemble": str(WorkspacePaths(owner).ensemble(ensemble.version).record),
        "members": names,
        "pool": ensemble.fitted.restricted_to([ensemble.members.index(name) for name in names]),
        "features": members[0].spec.features,
        "data": data,
    }
    jobs = []
    for start in range(0, len(clips), JOB_CLIPS):
        part = clips.iloc[start : start + JOB_CLIPS]
        files = tuple(part["file"])
        out = str(folder / f"{fingerprint(files, [*part['version']])}.npz")
        jobs.append(PredictionJob(**shared, files=files, out=out))
    return tuple(jobs)


def clips_of(jobs: Sequence[PredictionJob]) -> int:
    """Return the number of clips of some jobs."""
    return sum(len(job.files) for job in jobs)


def read_chunk(job: PredictionJob) -> PredictionChunk | None:
    """Read the result of a job; None if the file is missing, damaged or of other clips."""
    try:
        chunk = PredictionChunk.read(Location(job.out))
    except (OSError, KeyError, CorruptError):
        return None
    return chunk if len(chunk.probabilities) == len(job.files) else None


def _columns(listing: Listing, words: Sequence[str]) -> tuple[str, ...]:
    """Return the words in the order of the template, or of the ensemble without a template."""
    if listing.template is None:
        return tuple(words)
    disagreement = spread_column(words)
    columns = tuple(word for word in listing.template.words if word != disagreement)
    spelled = {normal_text(word): word for word in words}
    other = sorted(set(columns) ^ set(spelled))
    if other:
        path = f"{listing.data}/{listing.template.name}"
        raise DataError(
            f"{path}: the template and the ensemble differ in these words: {', '.join(other)}; "
            "remove the template, or choose another model",
            code="other-words", path=path, words=other,
        )  # fmt: skip
    return tuple(spelled[word] for word in columns)
