"""The alias `champion`: who it is, how it comes to another version, and why.

All of it is one small file, `champion.json`, which is replaced as a whole: who reads it sees the
champion of before or the new one. Every change goes through `overlap.io.atomic_update`, so that
of two changes at a time none is lost.
"""

from datetime import datetime
from typing import Literal

from pydantic import Field

from overlap.config import PromotionConfig
from overlap.ensemble.registry import EnsembleRecord, list_ensembles, load_ensemble, now
from overlap.errors import NotReadyError, UserError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import EnsemblePaths, WorkspacePaths
from overlap.promotion.challenge import ComparisonPlan
from overlap.promotion.comparison import Comparison
from overlap.promotion.policy import Verdict, in_hand, judge_duel

HISTORY = 100
"""Decisions that are kept, the newest."""


class Promotion(Record):
    """What became of a version, and why."""

    version: str
    promoted: bool
    """Whether it is champion since then."""
    reason: str
    """One sentence for a person."""
    by: Literal["rule", "hand"] = "rule"
    at: datetime = Field(default_factory=now)
    instead_of: str | None = None
    """The champion whose place it took."""
    duel: Comparison | None = None
    """How it was compared with the champion."""

    @property
    def state(self) -> str:
        """What became of it, in words."""
        return "promoted" if self.promoted else "not promoted"

    @property
    def summary(self) -> str:
        """The reason in a few words."""
        if self.duel is None or str(self.duel) not in self.reason:
            return self.reason.partition(";")[0]
        ends = f"{self.duel.low:+.4f} to {self.duel.high:+.4f}"
        return f"gain {self.duel.gain:+.4f} ({ends}), {self.duel.clips} clips"


class Aliases(Record):
    """What `champion.json` holds."""

    version: str | None = None
    """The champion."""
    earlier: tuple[str, ...] = ()
    """Versions that were champion before it, oldest first."""
    considered: tuple[str, ...] = ()
    """Versions of which it was decided once, by the rule, whether they are promoted."""
    leaving: tuple[str, ...] = ()
    """Versions that are being removed."""
    history: tuple[Promotion, ...] = ()
    """What was decided, oldest first."""

    def with_champion(self, version: str) -> "Aliases":
        """With another champion.

        Raises:
            NotReadyError: it is being removed.
        """
        if version in self.leaving:
            raise NotReadyError(f"{version}: is being removed by `overlap models prune`")
        earlier = self.earlier if self.version is None else (*self.earlier, self.version)
        return self.model_copy(update={"version": version, "earlier": earlier})

    def noted(self, decision: Promotion) -> "Aliases":
        """With one more decision in the history."""
        history = (*self.history, decision)[-HISTORY:]
        return self.model_copy(update={"history": history})

    def was_considered(self, version: str) -> bool:
        """Whether it was decided about the same members before, under whatever version.

        A version that was removed is published anew by a run with its configuration.
        """
        return _mark(version) in {_mark(name) for name in self.considered}

    def decision(self, version: str) -> Promotion | None:
        """The last decision about a version."""
        own = [decision for decision in self.history if decision.version == version]
        return own[-1] if own else None

    def summary(self, version: str) -> str:
        """Why a version is champion or not, in a few words."""
        said = []
        for decision in self.history:
            if decision.version == version:
                said = [decision.summary]
            elif decision.instead_of == version and decision.by == "hand":
                said.append(f"then {decision.version} by hand")
        return "; ".join(said)


def read_aliases(workspace: Location) -> Aliases:
    """What `champion.json` says now."""
    location = WorkspacePaths(workspace).champion
    return location.read_record(Aliases) if location.exists() else Aliases()


def champion(workspace: Location) -> str | None:
    """Version of the champion."""
    return read_aliases(workspace).version


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
        paths = EnsemblePaths(Location.of(version))
        if paths.record.exists():
            return paths.workspace, load_ensemble(paths.record)
        raise NotReadyError(f"{paths.folder}: no {paths.record.name} there, so no ensemble")
    record = WorkspacePaths(workspace).ensemble(version).record
    if not record.exists():
        known = ", ".join(r.version for r in list_ensembles(workspace)) or "none"
        raise NotReadyError(f"{workspace}: no ensemble {version}; there are: {known}")
    return workspace, load_ensemble(record)


def promote(workspace: Location, version: str) -> Promotion:
    """Make a version the champion, as a person wants it.

    Raises:
        NotReadyError: there is no such version.
        UserError: it is an ensemble of another workspace.
    """
    owner, record = find_ensemble(workspace, version)
    if owner != workspace:
        raise UserError(f"{version}: is an ensemble of {owner}, not of {workspace}")

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        before = aliases.version
        decision = Promotion(
            version=record.version, promoted=True, by="hand", reason="by hand", instead_of=before
        )
        if before == record.version:
            return aliases, decision
        return aliases.with_champion(record.version).noted(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def rollback(workspace: Location) -> Promotion:
    """Make the champion before this one champion again; versions that are gone are passed over.

    Raises:
        NotReadyError: there was none before, or none is left.
    """
    there = {record.version for record in list_ensembles(workspace)}

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        left = [place for place, version in enumerate(aliases.earlier)
                if version in there and version not in aliases.leaving]  # fmt: skip
        gone = aliases.earlier[left[-1] + 1 :] if left else aliases.earlier
        said = f"no longer there: {', '.join(dict.fromkeys(gone))}" if gone else ""
        if not left:
            more = f"; {said}" if said else ""
            raise NotReadyError(f"{workspace}: no earlier champion to go back to{more}")
        version = aliases.earlier[left[-1]]
        back = f"by hand: back from {aliases.version}"
        decision = Promotion(
            version=version, promoted=True, by="hand", instead_of=aliases.version,
            reason=f"{back}; {said}" if said else back,
        )  # fmt: skip
        moved = {"version": version, "earlier": aliases.earlier[: left[-1]]}
        return aliases.model_copy(update=moved).noted(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def current_champion(workspace: Location, challenger: EnsembleRecord) -> EnsembleRecord | None:
    """The champion that a new ensemble is to be compared with; None where it is not."""
    aliases = read_aliases(workspace)
    if aliases.version == challenger.version or aliases.was_considered(challenger.version):
        return None
    there = {record.version: record for record in list_ensembles(workspace)}
    return there.get(aliases.version or "")


def is_settled(workspace: Location, version: str) -> bool:
    """Whether nothing is to be decided about a version any more."""
    aliases = read_aliases(workspace)
    return aliases.version == version or aliases.was_considered(version)


def consider(
    workspace: Location,
    challenger: EnsembleRecord,
    config: PromotionConfig,
    plan: ComparisonPlan | None = None,
) -> Promotion:
    """Promote a published ensemble if the rule says so, and note why.

    Where there is no champion, it becomes champion, unless the rule is `never`. Every version is
    considered once, so that a run over unchanged data never undoes what a person decided.

    Args:
        workspace: The workspace.
        challenger: The ensemble.
        config: The rule.
        plan: Its duel with the `current_champion`, with what the champion has predicted for it.
    """
    there = {record.version for record in list_ensembles(workspace)}
    duel = plan.judged(config.confidence) if plan else None

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        verdict = _without_duel(aliases, challenger.version, there, config.rule)
        if verdict is None and plan is not None and plan.champion == aliases.version:
            verdict = judge_duel(config, plan, duel, challenger.version)
        elif verdict is None:
            said = f"{aliases.version} became champion meanwhile: the next run compares with it"
            verdict = Verdict(False, said, final=False)
        decision = Promotion(
            version=challenger.version, promoted=verdict.promoted, reason=verdict.reason,
            duel=duel, instead_of=aliases.version if verdict.promoted else None,
        )  # fmt: skip
        if not verdict.final:
            return aliases, decision
        after = aliases.with_champion(challenger.version) if verdict.promoted else aliases
        considered = (*aliases.considered, challenger.version)
        return after.model_copy(update={"considered": considered}).noted(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def _without_duel(aliases: Aliases, version: str, there: set[str], rule: str) -> Verdict | None:
    """What can be said of a version without comparing it; None where it has to be compared."""
    current = aliases.version
    if current == version:
        return Verdict(False, "it is the champion already", final=False)
    if current is None or current not in there:
        said = f"champion {current} is no longer there" if current else "it is the first champion"
        if rule == "never":
            return Verdict(False, f"promotion.rule is never; {in_hand(version)}")
        return Verdict(True, said)
    if aliases.was_considered(version):
        return Verdict(False, f"it was considered before; {in_hand(version)}", final=False)
    return None


def _mark(version: str) -> str:
    """The end of a version, which its members give it; the time before it is left out."""
    return version.rpartition("-")[2]
