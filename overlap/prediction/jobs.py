"""A folder of clips cut into jobs, and what each leaves: shares, spread, and what was heard.

A job is some thousand clips. What it finds is one small file in the workspace, named by the
clips and their versions, below a folder named by the ensemble: a run that was interrupted, or
the same clips again, only do what is not there.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from overlap.catalog import Listing, clips_to_predict
from overlap.catalog.inspection import NOT_OPENED
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
"""Clips per job: starting a process and loading the networks takes seconds; more clips would only
be lost together when a worker dies."""


class PredictionJob(Record):
    """Some clips of a folder, to be predicted by one process."""

    ensemble: str
    """Address of the ensemble's record."""
    members: tuple[str, ...]
    """Fingerprints of the members that predict: the ensemble's, or some of them."""
    pool: Pool
    """How they are pooled."""
    features: FeatureConfig
    """What they were trained on."""
    data: str
    """Address of the folder."""
    files: tuple[str, ...]
    """Files below it."""
    out: str
    """Address of the file that receives what was found."""


@dataclass(frozen=True, eq=False)
class PredictionChunk:
    """What a job found, a row per file."""

    shares: NDArray[np.float32]
    """(clips, words): the pooled probabilities; NaN where the clip cannot be used."""
    spread: NDArray[np.float32]
    """(clips,): see `overlap.metrics.disagreement`; NaN where the clip cannot be used."""
    reason: NDArray[np.str_]
    """(clips,): why the clip cannot be used; empty where it can."""
    repairs: NDArray[np.str_]
    """(clips,): what was done to it, names between spaces."""
    clipped: NDArray[np.bool_]
    """(clips,): whether many samples are at full scale."""

    @property
    def settled(self) -> bool:
        """Whether every clip was looked at: one that could not even be opened is tried again."""
        return not np.char.startswith(self.reason, NOT_OPENED).any()

    def write(self, location: Location) -> None:
        """Keep this."""
        location.write_arrays(vars(self))


@dataclass(frozen=True, eq=False)
class PredictionPlan:
    """A folder of clips and the jobs that predict it."""

    ensemble: EnsembleRecord
    data: str
    """Address of the folder."""
    words: tuple[str, ...]
    """Columns of the output."""
    clips: pd.DataFrame
    """table_id, file and version of every row of the output, in its order; the index says which
    clip of all jobs it is."""
    jobs: tuple[PredictionJob, ...]
    """Together they have every clip once, in the order of the ids."""

    def missing(self) -> list[PredictionJob]:
        """Jobs that have not been done, or that could not open all of their files."""
        found = ((job, read_found(job)) for job in self.jobs)
        return [job for job, part in found if part is None or not part.settled]


def plan_prediction(
    workspace: Location, owner: Location, ensemble: EnsembleRecord, listing: Listing
) -> PredictionPlan:
    """Cut a folder of clips into jobs.

    Args:
        workspace: Keeps what jobs find.
        owner: The workspace of the ensemble.
        ensemble: The ensemble.
        listing: The folder.

    Raises:
        DataError: the folder or its template does not fit.
        MemberError: members of the ensemble are no longer there.
    """
    members = members_of(owner, ensemble)
    clips, words = clips_to_predict(listing), _columns(listing, ensemble.words)
    data = str(listing.data)
    jobs = jobs_for(workspace, owner, ensemble, members, data, clips.sort_index())
    return PredictionPlan(ensemble, data, words, clips, jobs)


def members_of(owner: Location, ensemble: EnsembleRecord) -> list[MemberRecord]:
    """The members of an ensemble.

    Raises:
        MemberError: some of them are no longer there.
    """
    try:
        return records_of(owner, ensemble.members)
    except MemberError as error:
        raise MemberError(f"ensemble {ensemble.version}: {error}") from None


def jobs_for(
    workspace: Location,
    owner: Location,
    ensemble: EnsembleRecord,
    members: Sequence[MemberRecord],
    data: str,
    clips: pd.DataFrame,
) -> tuple[PredictionJob, ...]:
    """Jobs that predict some clips with an ensemble, or with some of its members.

    Args:
        workspace: Keeps what they find.
        owner: The workspace of the ensemble.
        ensemble: The ensemble.
        members: Those of its members that predict.
        data: Address of the folder.
        clips: file and version of each clip.
    """
    networks = [member.files[MODEL_FILE] for member in members]
    folder = WorkspacePaths(workspace).predictions / fingerprint(
        data, ensemble.fingerprint, networks
    )
    names = tuple(member.fingerprint for member in members)
    shared: dict[str, Any] = {
        "ensemble": str(WorkspacePaths(owner).ensemble(ensemble.version).record),
        "members": names,
        "pool": ensemble.fitted.of([ensemble.members.index(name) for name in names]),
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
    """How many clips some jobs have."""
    return sum(len(job.files) for job in jobs)


def read_found(job: PredictionJob) -> PredictionChunk | None:
    """What a job found; None where its file is missing or damaged."""
    try:
        found = PredictionChunk(**Location(job.out).read_arrays())
    except (OSError, TypeError, CorruptError):
        return None
    return found if len(found.shares) == len(job.files) else None


def _columns(listing: Listing, words: Sequence[str]) -> tuple[str, ...]:
    """The words in the order of the template, if the folder has one."""
    if listing.template is None:
        return tuple(words)
    beside = spread_column(words)
    asked = tuple(word for word in listing.template.words if word != beside)
    if set(asked) != set(words):
        raise DataError(
            f"{listing.data}/{listing.template.name}: its words are not the ensemble's: "
            f"{', '.join(sorted(set(asked) ^ set(words)))}; remove it, or name another model"
        )
    return asked
