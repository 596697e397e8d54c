"""The alias `champion`: which version it names, how it changes, and the history of decisions.

The alias is one small file, `champion.json`, which is replaced atomically: a reader sees either
the previous or the new champion. Every change uses `overlap.io.atomic_update`, so concurrent
changes are not lost.
"""

from datetime import datetime
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from overlap.config import PromotionConfig
from overlap.ensemble.registry import EnsembleRecord, list_ensembles, load_ensemble, now
from overlap.errors import NotReadyError, UserError
from overlap.io.atomic_update import update
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import EnsemblePaths, WorkspacePaths
from overlap.promotion.outcome import Comparison
from overlap.promotion.policy import Verdict, apply_rule, promotion_hint

if TYPE_CHECKING:  # imports what predicts
    from overlap.promotion.challenge import ComparisonPlan

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

    @property
    def state(self) -> str:
        """The decision as text."""
        return "promoted" if self.promoted else "not promoted"

    @property
    def summary(self) -> str:
        """A short form of the reason."""
        # The gain appears in the reason wherever the comparison decided, whatever version wrote it.
        if self.duel is None or f"gain {self.duel.gain:.4f}" not in self.reason:
            return self.reason.partition(";")[0]
        ends = f"{self.duel.low:+.4f} to {self.duel.high:+.4f}"
        return f"gain {self.duel.gain:+.4f} ({ends}), {self.duel.clips} clips"


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
        raise NotReadyError(
            f"{workspace}: the workspace has no champion yet; `overlap run` makes one",
            code="no-champion", workspace=str(workspace),
        )  # fmt: skip
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


def promote(workspace: Location, version: str) -> Promotion:
    """Make a version the champion at the user's request.

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
        before = aliases.version
        decision = Promotion(
            version=record.version,
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
        decision = Promotion(
            version=version, promoted=True, by="hand", instead_of=aliases.version,
            reason=f"rolled back from {aliases.version}{skipped}",
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


def consider(
    workspace: Location,
    challenger: EnsembleRecord,
    config: PromotionConfig,
    plan: "ComparisonPlan | None" = None,
) -> Promotion:
    """Promote a published ensemble if the rule allows it, and record the decision.

    Without a champion the ensemble becomes champion, unless the rule is `never`. Every version is
    considered once, so that a run over unchanged data never undoes a decision of the user.

    Args:
        workspace: The workspace.
        challenger: The ensemble.
        config: The rule.
        plan: The comparison with the `current_champion`, after the champion's predictions.
    """
    published = {record.version for record in list_ensembles(workspace)}
    comparison = plan.compare(config.confidence) if plan else None

    def change(aliases: Aliases) -> tuple[Aliases, Promotion]:
        verdict = _without_comparison(aliases, challenger.version, published, config.rule)
        if verdict is None and plan is not None and plan.champion == aliases.version:
            verdict = apply_rule(config, plan, comparison, challenger.version)
        elif verdict is None:
            reason = (
                f"{aliases.version} became champion during this run; the next run compares with it"
            )
            verdict = Verdict(False, reason, final=False)
        decision = Promotion(
            version=challenger.version, promoted=verdict.promoted, reason=verdict.reason,
            duel=comparison, instead_of=aliases.version if verdict.promoted else None,
        )  # fmt: skip
        if not verdict.final:
            return aliases, decision
        after = aliases.with_champion(challenger.version) if verdict.promoted else aliases
        considered = (*aliases.considered, challenger.version)
        return after.model_copy(update={"considered": considered}).with_decision(decision), decision

    return update(WorkspacePaths(workspace).champion, Aliases, change)


def _without_comparison(
    aliases: Aliases, version: str, published: set[str], rule: str
) -> Verdict | None:
    """Decide without a comparison, or return None where one is needed."""
    current = aliases.version
    if current == version:
        return Verdict(False, "it is already the champion", final=False)
    if current is None or current not in published:
        if rule == "never":
            return Verdict(False, f"promotion.rule is never; {promotion_hint(version)}")
        reason = f"champion {current} no longer exists" if current else "first champion"
        return Verdict(True, reason)
    if aliases.was_considered(version):
        return Verdict(False, f"already considered; {promotion_hint(version)}", final=False)
    return None


def _content_id(version: str) -> str:
    """Return the part of a version that derives from its members, without the time."""
    return version.rpartition("-")[2]
