"""Published ensembles under their versions, and the alias `champion`."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from overlap.config import Section
from overlap.ensemble.curve import CurvePoint, Forecast, PowerLaw
from overlap.ensemble.pools import Pool
from overlap.ensemble.selection import PoolChoice
from overlap.errors import NotReadyError, UserError
from overlap.storage import Location

ENSEMBLES = "ensembles"
RECORD_FILE = "ensemble.json"
SUBMISSION_FILE = "submission.csv"
PREDICTIONS_FILE = "predictions.npz"
CHAMPION_FILE = "champion.json"


class EnsembleRecord(Section):
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

    @property
    def per_round(self) -> int:
        """Members per point of the curve."""
        return self.config.get("validation", {}).get("folds") or 1


class Aliases(Section):
    """What `champion.json` holds."""

    version: str | None = None
    """The champion."""
    earlier: tuple[str, ...] = ()
    """Versions that were champion before it, oldest first."""
    considered: tuple[str, ...] = ()
    """Versions of which it was decided once, by their scores, whether they are promoted."""

    def crowned(self, version: str) -> "Aliases":
        """With another champion."""
        earlier = self.earlier if self.version is None else (*self.earlier, self.version)
        return self.model_copy(update={"version": version, "earlier": earlier})


@dataclass(frozen=True)
class Promotion:
    """What became of a newly published ensemble."""

    promoted: bool
    reason: str
    """One sentence for a person."""


def version_name(created: datetime, fingerprint: str) -> str:
    """Sortable by time, and unique without asking anyone."""
    return f"{created:%Y%m%d-%H%M%S}-{fingerprint[:8]}"


def now() -> datetime:
    """The time of publication."""
    return datetime.now(UTC).replace(microsecond=0)


def folder_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Where an ensemble's files are."""
    return workspace / ENSEMBLES / record.version


def submission_of(workspace: Location, record: EnsembleRecord) -> Location:
    """Where an ensemble's table of predictions is; not there when there were no test clips."""
    return folder_of(workspace, record) / SUBMISSION_FILE


def list_ensembles(workspace: Location) -> list[EnsembleRecord]:
    """All published ensembles, oldest first."""
    folder = workspace / ENSEMBLES
    found = [folder / name / RECORD_FILE for name in folder.folders()]
    return [f.read_model(EnsembleRecord) for f in found if f.exists()]


def published(workspace: Location, fingerprint: str) -> EnsembleRecord | None:
    """The ensemble with this fingerprint, if it was published before."""
    found = [r for r in list_ensembles(workspace) if r.fingerprint == fingerprint]
    return found[0] if found else None


def champion(workspace: Location) -> str | None:
    """Version of the champion."""
    return _aliases(workspace).version


def find_ensemble(workspace: Location, name: str) -> tuple[Location, EnsembleRecord]:
    """An ensemble by `champion`, version, or the address of its folder.

    Returns:
        The workspace that holds it, and its record.

    Raises:
        NotReadyError: there is none; the message says what there is.
    """
    version = champion(workspace) if name == "champion" else name
    if version is None:
        raise NotReadyError(f"{workspace}: no champion there yet; `overlap run` makes one")
    if "/" in version:
        folder = Location.of(version)
        record = folder / RECORD_FILE
        if record.exists():
            return folder.parent.parent, record.read_model(EnsembleRecord)
        raise NotReadyError(f"{folder}: no {RECORD_FILE} there, so no ensemble")
    record = workspace / ENSEMBLES / version / RECORD_FILE
    if not record.exists():
        known = ", ".join(r.version for r in list_ensembles(workspace)) or "none"
        raise NotReadyError(f"{workspace}: no ensemble {version}; there are: {known}")
    return workspace, record.read_model(EnsembleRecord)


def promote(workspace: Location, version: str) -> None:
    """Make a version the champion.

    Raises:
        NotReadyError: there is no such version.
        UserError: it is an ensemble of another workspace.
    """
    owner, record = find_ensemble(workspace, version)
    if owner != workspace:
        raise UserError(f"{version}: is an ensemble of {owner}, not of {workspace}")
    aliases = _aliases(workspace)
    if aliases.version != record.version:
        _write_aliases(workspace, aliases.crowned(record.version))


def rollback(workspace: Location) -> str:
    """Make the champion before this one champion again; its version.

    Raises:
        NotReadyError: there was none before.
    """
    aliases = _aliases(workspace)
    if not aliases.earlier:
        raise NotReadyError(f"{workspace}: no earlier champion to go back to")
    *earlier, version = aliases.earlier
    update = {"version": version, "earlier": tuple(earlier)}
    _write_aliases(workspace, aliases.model_copy(update=update))
    return version


def consider(workspace: Location, challenger: EnsembleRecord) -> Promotion:
    """Promote a published ensemble if nothing speaks for the present champion.

    It is promoted where there is no champion, or where it scores better on the same held-out
    clips. Scores on different clips say nothing: then a person decides. Every version is
    considered once, so that a run over unchanged data never undoes what a person decided.
    """
    aliases = _aliases(workspace)
    current = aliases.version
    if current == challenger.version:
        return Promotion(False, "it is the champion already")
    there = {record.version: record for record in list_ensembles(workspace)}
    if current is None:
        outcome = Promotion(True, "it is the first champion")
    elif current not in there:
        outcome = Promotion(True, f"champion {current} is no longer there")
    elif challenger.version in aliases.considered:
        by_hand = f"`overlap models promote {challenger.version}` makes it the champion"
        return Promotion(False, f"it was considered before; {by_hand}")
    else:
        outcome = _compared(challenger, there[current])
    considered = (*aliases.considered, challenger.version)
    aliases = aliases.model_copy(update={"considered": considered})
    _write_aliases(workspace, aliases.crowned(challenger.version) if outcome.promoted else aliases)
    return outcome


def _compared(challenger: EnsembleRecord, current: EnsembleRecord) -> Promotion:
    by_hand = f"`overlap models promote {challenger.version}` does it"
    if challenger.kl is None or current.kl is None:
        return Promotion(False, f"without held-out clips it is not promoted by itself; {by_hand}")
    if challenger.held_out_key != current.held_out_key:
        return Promotion(False, f"champion {current.version} was scored on other clips; {by_hand}")
    versus = f"KL {challenger.kl:.4f} against {current.kl:.4f} of {current.version}"
    if challenger.kl >= current.kl:
        return Promotion(False, f"it does not score better: {versus}; {by_hand}")
    return Promotion(True, versus)


def _aliases(workspace: Location) -> Aliases:
    location = workspace / CHAMPION_FILE
    return location.read_model(Aliases) if location.exists() else Aliases()


def _write_aliases(workspace: Location, aliases: Aliases) -> None:
    (workspace / CHAMPION_FILE).write_json(aliases.model_dump(mode="json"))
