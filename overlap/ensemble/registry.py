"""Published ensembles by version; `champion.json` names the champion among them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from numpy.typing import NDArray

from overlap.ensemble.pooling import Pool
from overlap.ensemble.record_parts import CurvePoint, Forecast, PoolChoice, PowerLaw
from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.records import Record, from_arrays
from overlap.io.workspace_paths import PREDICTIONS_FILE, EnsemblePaths, WorkspacePaths
from overlap.metrics.divergence import gain_over

AGAIN = "a run with its configuration publishes it again"
"""The remedy for a lost or damaged ensemble, as a clause."""


class EnsembleRecord(Record):
    """A published ensemble; its file is written last and marks the ensemble as published."""

    version: str
    fingerprint: str
    """Identifies members, their predictions and the pooling: equal runs publish one version."""
    created: datetime
    members: tuple[str, ...]
    """Fingerprints of the members, in the order of the curve."""
    pooled: tuple[str, ...]
    """SHA-256 of the predictions of each member that were pooled."""
    pool: str
    """The configured pooling method, or auto; `fitted` holds the result."""
    words: tuple[str, ...]
    data: str
    """Address of the data folder."""
    clips: dict[str, int]
    """Number of clips by split and state."""
    kl: float | None
    """KL on held-out clips, nats, cross-validated if the pool is fitted to them; None if nothing
    was held out."""
    trivial_kl: float | None
    """KL on the same clips of predicting the mean training label, nats."""
    member_kl: tuple[float | None, ...]
    """KL of each member on its held-out clips, nats."""
    curve: tuple[CurvePoint, ...]
    """KL of the mean of 1, 2, … members; with folds, of 1, 2, … rounds."""
    held_out_key: str | None
    """Identifies the held-out clips: only scores with equal keys are comparable."""
    test_key: str
    """Identifies the test clips that the ensemble predicts."""
    files: dict[str, str]
    """SHA-256 of each file of the ensemble."""
    imputed: tuple[str, ...]
    """Ids of test clips with unusable audio; their row is the mean prediction."""
    config: dict[str, Any]
    """The run configuration."""
    software: dict[str, str]
    git_revision: str | None
    # Defaults let older records load; they are correct, because every older ensemble was the mean
    # of all its planned members.
    fitted: Pool = Pool()
    """The pool that combines the members' predictions."""
    choice: PoolChoice | None = None
    """The methods that were considered, and why this one was chosen."""
    law: PowerLaw | None = None
    """The law fitted to the curve; None with too few points."""
    more: Forecast | None = None
    """The expected effect of more members; None without a law."""
    fewer: str | None = None
    """Why there are fewer members than planned; None if all are included."""
    kl_interval: tuple[float, float] | None = None
    """Ends of the 95 % interval of `kl` over clips, nats."""
    seconds: float | None = None
    """Wall time of pooling, scoring and writing, s."""
    run_seconds: float | None = None
    """Elapsed time of the run until the publication, s; None in older records, and where the stages
    were run separately."""
    drift_db: float | None = None
    """Largest Wasserstein distance of the test clips' decibels from the training clips', over the
    resolutions, dB; None in older records and without test clips."""
    distilled_from: str | None = None
    """Version of the ensemble whose student this is; None: its members learned from labels."""

    @property
    def gain(self) -> float | None:
        """Fraction by which `kl` is below `trivial_kl`; None where either is unknown."""
        return gain_over(self.trivial_kl, self.kl)

    @property
    def per_round(self) -> int:
        """Members per point of the curve."""
        return self.config.get("validation", {}).get("folds") or 1


def version_name(created: datetime, fingerprint: str) -> str:
    """Return the name of a version: sortable by time, and unique without coordination."""
    return f"{created:%Y%m%d-%H%M%S}-{fingerprint[:8]}"


def read_predictions(workspace: Location, record: EnsembleRecord) -> dict[str, NDArray[Any]]:
    """Read the arrays of a published ensemble; see `overlap.ensemble.publish`.

    Raises:
        CorruptError: The file is missing or damaged.
    """
    location = WorkspacePaths(workspace).ensemble(record.version).predictions
    return from_arrays(
        location.read_verified(record.files.get(PREDICTIONS_FILE, "")), str(location)
    )


def now() -> datetime:
    """Return the current time, UTC, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0)


def time_of_publication(workspace: Location) -> datetime:
    """Return the current time, or one second after the newest version if that is later.

    Versions are named, listed and pruned in order of time, so that a clock that was set back must
    not make a new version the oldest.
    """
    return max([now(), *(r.created + timedelta(seconds=1) for r in list_ensembles(workspace))])


def folder_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Return the folder of an ensemble."""
    return WorkspacePaths(workspace).ensemble(record.version).folder


def submission_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Return the address of an ensemble's submission; the file is absent without test clips."""
    return WorkspacePaths(workspace).ensemble(record.version).submission


def report_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Return the address of an ensemble's report; the file may be absent."""
    return WorkspacePaths(workspace).ensemble(record.version).report


def list_ensembles(workspace: Location) -> list[EnsembleRecord]:
    """Return all published ensembles, oldest first."""
    paths = WorkspacePaths(workspace)
    found = [paths.ensemble(version).record for version in paths.ensembles.folders()]
    return [load_ensemble(f) for f in found if f.exists()]


def load_ensemble(location: Location) -> EnsembleRecord:
    """Read the record of a published ensemble.

    Args:
        location: The record's file.

    Raises:
        CorruptError: The file is damaged.
    """
    try:
        return location.read_record(EnsembleRecord)
    except CorruptError as error:
        raise CorruptError(
            f"{error}; remove {EnsemblePaths.of_record(location).folder}, and {AGAIN}",
            code=error.code, path=str(location),
        ) from None  # fmt: skip


def published(workspace: Location, fingerprint: str) -> EnsembleRecord | None:
    """Return the published ensemble with this fingerprint, or None."""
    found = [r for r in list_ensembles(workspace) if r.fingerprint == fingerprint]
    return found[0] if found else None
