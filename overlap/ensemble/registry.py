"""Published ensembles under their versions; which of them is champion says `champion.json`."""

from datetime import UTC, datetime, timedelta
from typing import Any

from numpy.typing import NDArray

from overlap.ensemble.curve import CurvePoint, Forecast, PowerLaw
from overlap.ensemble.pooling import Pool
from overlap.ensemble.selection import PoolChoice
from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.records import Record, from_arrays
from overlap.io.workspace_paths import PREDICTIONS_FILE, EnsemblePaths, WorkspacePaths
from overlap.metrics.divergence import gain_over

AGAIN = "a run with its configuration publishes it again"


class EnsembleRecord(Record):
    """A published ensemble; written last, so that its presence says published."""

    version: str
    fingerprint: str
    """Names members, their predictions and pooling: equal runs publish one version."""
    created: datetime
    members: tuple[str, ...]
    """Fingerprints of the members, in the order of the curve."""
    pooled: tuple[str, ...]
    """SHA-256 of each member's predictions, as they were pooled."""
    pool: str
    """The way to pool that was asked for; `fitted` is what came of it."""
    words: tuple[str, ...]
    data: str
    """Address of the data folder."""
    clips: dict[str, int]
    """Clips by split and state."""
    kl: float | None
    """KL on held-out clips, by cross-validation where the pool is fitted to them; None where
    nothing was held out."""
    trivial_kl: float | None
    """KL there of predicting the mean training label."""
    member_kl: tuple[float | None, ...]
    """KL of each member on its held-out clips."""
    curve: tuple[CurvePoint, ...]
    """KL of the mean of 1, 2, … members; with folds, of rounds."""
    held_out_key: str | None
    """Names the held-out clips: only scores with equal keys can be compared."""
    test_key: str
    """Names the test clips that it predicts."""
    files: dict[str, str]
    """SHA-256 of each of its files."""
    imputed: tuple[str, ...]
    """Ids of test clips that got the mean prediction, because their audio cannot be used."""
    config: dict[str, Any]
    """The run configuration."""
    software: dict[str, str]
    git_revision: str | None
    # Records of before these fields were there load with the defaults, and those say the truth:
    # every ensemble was the mean of all its planned members.
    fitted: Pool = Pool()
    """The pool itself: applied to the members' predictions it gives the ensemble's."""
    choice: PoolChoice | None = None
    """The ways to pool that were considered, and why this one was kept."""
    law: PowerLaw | None = None
    """The law through the curve; None with few points."""
    more: Forecast | None = None
    """What more members would bring; None without a law."""
    fewer: str | None = None
    """Why there are fewer members than planned; None where there are not."""
    kl_interval: tuple[float, float] | None = None
    """Ends of the 95 % interval of `kl`, over clips."""
    seconds: float | None = None
    """Wall time of pooling, scoring and writing it."""

    @property
    def gain(self) -> float | None:
        """By what fraction `kl` is below `trivial_kl`."""
        return gain_over(self.trivial_kl, self.kl)

    @property
    def per_round(self) -> int:
        """Members per point of the curve."""
        return self.config.get("validation", {}).get("folds") or 1


def version_name(created: datetime, fingerprint: str) -> str:
    """Sortable by time, and unique without asking anyone."""
    return f"{created:%Y%m%d-%H%M%S}-{fingerprint[:8]}"


def read_predictions(workspace: Location, record: EnsembleRecord) -> dict[str, NDArray[Any]]:
    """The arrays that a published ensemble keeps; see `overlap.ensemble.publish`.

    Raises:
        CorruptError: they are gone, or not what was written.
    """
    location = WorkspacePaths(workspace).ensemble(record.version).predictions
    return from_arrays(
        location.read_verified(record.files.get(PREDICTIONS_FILE, "")), str(location)
    )


def now() -> datetime:
    """The time of a decision."""
    return datetime.now(UTC).replace(microsecond=0)


def time_of_publication(workspace: Location) -> datetime:
    """Now, or just after the newest version: a clock that was set back must not make this one old.

    Versions are pruned, listed and given their names in this order.
    """
    return max([now(), *(r.created + timedelta(seconds=1) for r in list_ensembles(workspace))])


def folder_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Where an ensemble's files are."""
    return WorkspacePaths(workspace).ensemble(record.version).folder


def submission_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Where an ensemble's table of predictions is; not there when there were no test clips."""
    return WorkspacePaths(workspace).ensemble(record.version).submission


def report_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Where an ensemble's report is, if it was written."""
    return WorkspacePaths(workspace).ensemble(record.version).report


def list_ensembles(workspace: Location) -> list[EnsembleRecord]:
    """All published ensembles, oldest first."""
    paths = WorkspacePaths(workspace)
    found = [paths.ensemble(version).record for version in paths.ensembles.folders()]
    return [load_ensemble(f) for f in found if f.exists()]


def load_ensemble(location: Location) -> EnsembleRecord:
    """The record of a published ensemble.

    Args:
        location: The record's file.

    Raises:
        CorruptError: it is not what was written.
    """
    try:
        return location.read_record(EnsembleRecord)
    except CorruptError as error:
        raise CorruptError(
            f"{error}; remove {EnsemblePaths.of_record(location).folder}, and {AGAIN}"
        ) from None


def published(workspace: Location, fingerprint: str) -> EnsembleRecord | None:
    """The ensemble with this fingerprint, if it was published before."""
    found = [r for r in list_ensembles(workspace) if r.fingerprint == fingerprint]
    return found[0] if found else None
