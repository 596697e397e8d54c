"""The alias `champion`: which version it names, how it changes, and the history of decisions.

The alias is one small file, `champion.json`, which is replaced atomically: a reader sees either
the previous or the new champion. Every change uses `overlap.io.atomic_update`, so concurrent
changes are not lost.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from overlap.ensemble.registry import EnsembleRecord, list_ensembles, load_ensemble, now
from overlap.errors import NotReadyError, UserError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import EnsemblePaths, WorkspacePaths
from overlap.promotion.outcome import NOT_BETTER, Comparison, TrivialComparison
from overlap.promotion.rule import promotion_hint

ALREADY = "it is already the champion"
"""The reason of a decision that changes nothing."""
HISTORY = 100
"""Number of decisions kept, the newest."""


class Promotion(Record):
    """A decision about a version; stored in `champion.json` under these names."""

    version: str
    promoted: bool
    """Whether the decision made it the champion."""
    reason: str
    """One sentence for the reader."""
    by: Literal["rule", "hand"] = "rule"
    """Whether the promotion rule or a command of the user decided."""
    at: datetime = Field(default_factory=now)
    instead_of: str | None = None
    """The champion that it replaced."""
    duel: Comparison | None = None
    """The comparison with the champion, if there was one."""
    trivial: TrivialComparison | None = None
    """The comparison with the trivial prediction; None where it was not measured, as in decisions
    of earlier releases."""

    @property
    def state(self) -> str:
        """The decision as text."""
        if self.reason == ALREADY:
            return "unchanged"
        return "promoted" if self.promoted else "published, not promoted"

    @property
    def summary(self) -> str:
        """A short form of the reason."""
        # The gain appears in the reason wherever the comparison decided, whatever version wrote it.
        if self.duel is None or f"gain {self.duel.gain:.4f}" not in self.reason:
            short = self.reason.partition(";")[0]
        else:
            ends = f"{self.duel.low:+.4f} to {self.duel.high:+.4f}"
            short = f"gain {self.duel.gain:+.4f} ({ends}), {self.duel.clips} clips"
        caution = self.caution.partition(":")[0]
        return short if caution in short else f"{short}; {caution}"

    @property
    def caution(self) -> str:
        """What a user of the version should know about its quality; empty if nothing."""
        if self.trivial is None or self.trivial.better:
            return ""
        return f"{NOT_BETTER}: {self.trivial}"


class Aliases(Record):
    """The content of `champion.json`."""

    version: str | None = None
    """The champion."""
    earlier: tuple[str, ...] = ()
    """Previous champions, oldest first."""
    considered: tuple[str, ...] = ()
    """Versions about which the promotion rule has decided."""
    leaving: tuple[str, ...] = ()
    """Versions that are being removed."""
    history: tuple[Promotion, ...] = ()
    """The latest decisions, oldest first."""

    def with_champion(self, version: str) -> "Aliases":
        """Return a copy with another champion.

        Raises:
            NotReadyError: The version is being removed (code `version-leaving`).
        """
        if version in self.leaving:
            raise NotReadyError(
                f"{version} is being removed by `overlap models prune`; promote another version",
                code="version-leaving", version=version,
            )  # fmt: skip
        earlier = self.earlier if self.version is None else (*self.earlier, self.version)
        return self.model_copy(update={"version": version, "earlier": earlier})

    def with_decision(self, decision: Promotion) -> "Aliases":
        """Return a copy with one more decision in the history."""
        history = (*self.history, decision)[-HISTORY:]
        return self.model_copy(update={"history": history})

    def was_considered(self, version: str) -> bool:
        """Return whether the rule has decided about the same members, under any version.

        A run with the configuration of a removed version publishes the same members again under a
        new version.
        """
        return _content_id(version) in {_content_id(name) for name in self.considered}

    def decision(self, version: str) -> Promotion | None:
        """Return the latest decision about a version, or None."""
        own = [decision for decision in self.history if decision.version == version]
        return own[-1] if own else None

    def summary(self, version: str) -> str:
        """Return in short why a version is, or is not, the champion; empty if not recorded."""
        parts: list[str] = []
        for decision in self.history:
            if decision.version == version:
                parts = [decision.summary]
            elif decision.instead_of == version and decision.by == "hand":
                parts.append(f"then {decision.version} by the user")
        return "; ".join(parts)


def read_aliases(workspace: Location) -> Aliases:
    """Read `champion.json`; without the file, return empty aliases."""
    location = WorkspacePaths(workspace).champion
    return location.read_record(Aliases) if location.exists() else Aliases()


def champion(workspace: Location) -> str | None:
    """Return the version of the champion, or None."""
    return read_aliases(workspace).version


def find_ensemble(workspace: Location, name: str) -> tuple[Location, EnsembleRecord]:
    """Find an ensemble by the name `champion`, by version, or by the address of its folder.

    Returns:
        The workspace that holds the ensemble, and its record.

    Raises:
        NotReadyError: The workspace has no champion (code `no-champion`) or no such version
            (`no-such-ensemble`, with the known versions), or the folder holds no ensemble
            (`not-an-ensemble`).
    """
    version = champion(workspace) if name == "champion" else name
    if version is None:
        raise _no_champion(workspace)
    if "/" in version:
        folder = Location.of(version)
        record = EnsemblePaths(folder).record
        if record.exists():
            return folder.parent.parent, load_ensemble(record)
        raise NotReadyError(
            f"{folder}: the folder holds no ensemble ({record.name} is missing)",
            code="not-an-ensemble", folder=str(folder),
        )  # fmt: skip
    record = WorkspacePaths(workspace).ensemble(version).record
    if not record.exists():
        known = [r.version for r in list_ensembles(workspace)]
        raise NotReadyError(
            f"{workspace}: there is no ensemble {version}; "
            f"published versions: {', '.join(known) or 'none'}",
            code="no-such-ensemble", workspace=str(workspace), version=version, known=known,
        )  # fmt: skip
    return workspace, load_ensemble(record)


def _no_champion(workspace: Location) -> NotReadyError:
    """Return the error about a workspace without a champion, with what to do."""
    records, newest = list_ensembles(workspace), None
    if not records:
        what = "the workspace has no champion yet; `overlap run` makes one"
    else:
        newest = records[-1].version
        decision = read_aliases(workspace).decision(newest)
        reason = f": {decision.summary}" if decision and not decision.promoted else ""
        what = (
            f"no version is the champion; the newest, {newest}, is not promoted{reason}; "
            f"train longer (training.epochs) or add clips, and run again; "
            f"or predict with --model {newest}; or {promotion_hint(newest)}"
        )
    return NotReadyError(
        f"{workspace}: {what}", code="no-champion", workspace=str(workspace), version=newest
    )


def caution(workspace: Location, record: EnsembleRecord) -> str:
    """Return what a user of a version should know about its quality; empty if nothing.

    Versions of earlier releases, and those whose decision is not recorded any more, are judged by
    their KL alone.
    """
    decision = read_aliases(workspace).decision(record.version)
    if decision is not None and decision.trivial is not None:
        return decision.caution
    if record.gain is None or record.gain > 0:
        return ""
    return f"{NOT_BETTER}: KL {record.kl:.4f} against {record.trivial_kl:.4f}"


def promote(workspace: Location, version: str) -> Promotion:
    """Make a version the champion at the user's request, whatever its quality.

    Raises:
        NotReadyError: There is no such version, or it is being removed.
        UserError: The ensemble belongs to another workspace (code `foreign-ensemble`).
    """
    owner, record = find_ensemble(workspace, version)
    if owner != workspace:
        raise UserError(
            f"{version} belongs to workspace {owner}, not to {workspace}; "
            "promote it in its own workspace",
            code="foreign-ensemble", version=record.version, owner=str(owner),
        )  # fmt: skip

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        before, known = aliases.version, aliases.decision(record.version)
        decision = Promotion(
            version=record.version,
            trivial=known.trivial if known else None,
            promoted=True,
            by="hand",
            reason="promoted by the user",
            instead_of=before,
        )
        if before == record.version:
            return aliases, decision
        return aliases.with_champion(record.version).with_decision(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def rollback(workspace: Location) -> Promotion:
    """Restore the previous champion, skipping versions that no longer exist.

    Raises:
        NotReadyError: No earlier champion exists any more, or there never was one (code
            `no-earlier-champion`, with the versions that are gone).
    """
    published = {record.version for record in list_ensembles(workspace)}

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        remaining = [index for index, version in enumerate(aliases.earlier)
                     if version in published and version not in aliases.leaving]  # fmt: skip
        removed = aliases.earlier[remaining[-1] + 1 :] if remaining else aliases.earlier
        removed = tuple(dict.fromkeys(removed))
        skipped = f"; no longer available: {', '.join(removed)}" if removed else ""
        if not remaining:
            raise NotReadyError(
                f"{workspace}: there is no earlier champion to roll back to{skipped}",
                code="no-earlier-champion", workspace=str(workspace), removed=[*removed],
            )  # fmt: skip
        version = aliases.earlier[remaining[-1]]
        known = aliases.decision(version)
        decision = Promotion(
            version=version, promoted=True, by="hand", instead_of=aliases.version,
            reason=f"rolled back from {aliases.version}{skipped}",
            trivial=known.trivial if known else None,
        )  # fmt: skip
        restored = {"version": version, "earlier": aliases.earlier[: remaining[-1]]}
        return aliases.model_copy(update=restored).with_decision(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def current_champion(workspace: Location, challenger: EnsembleRecord) -> EnsembleRecord | None:
    """Return the champion to compare a new ensemble with.

    Returns:
        None if there is no champion, or if the ensemble is the champion or has been considered.
    """
    aliases = read_aliases(workspace)
    if aliases.version == challenger.version or aliases.was_considered(challenger.version):
        return None
    published = {record.version: record for record in list_ensembles(workspace)}
    return published.get(aliases.version or "")


def is_settled(workspace: Location, version: str) -> bool:
    """Return whether a version is the champion or has been considered."""
    aliases = read_aliases(workspace)
    return aliases.version == version or aliases.was_considered(version)


def _content_id(version: str) -> str:
    """Return the part of a version that derives from its members, without the time."""
    return version.rpartition("-")[2]
