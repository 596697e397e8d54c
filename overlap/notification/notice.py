"""The messages about a run: what happened, the KL now and before, and links.

A message is composed from the records that the run has written, so that it does not depend on the
words in which a rule states its reason.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from overlap.catalog.rows import QUARANTINED
from overlap.config import NotifyConfig
from overlap.ensemble.registry import EnsembleRecord, load_ensemble
from overlap.errors import OverlapError
from overlap.features.compare import DriftRow
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.promotion.champion import Aliases, Promotion, read_aliases
from overlap.redaction import masked
from overlap.reporting.links import ResultLinks

Event = Literal["failed", "promoted", "not-promoted", "unchanged", "drift", "unusable-clips"]
"""What happened. `unchanged` is no news: it only tells that the schedule works."""
HEADLINE_LENGTH = 500
"""Characters that are shown of the first line of a state."""


@dataclass(frozen=True)
class Notice:
    """One message."""

    event: Event
    subject: str
    """One short line, the subject of an e-mail."""
    headline: str
    """The first line of the run's state, or the finding."""
    lines: tuple[str, ...] = ()
    """Further lines, such as the KL now and before."""
    links: Mapping[str, str] = field(default_factory=dict)
    """Addresses by name: run, report, workspace."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """The figures for programs, as JSON."""

    @property
    def text(self) -> str:
        """The message without its subject."""
        links = [f"{name}: {address}" for name, address in self.links.items()]
        return masked("\n".join([self.headline, *self.lines, *links]))

    def as_json(self) -> dict[str, Any]:
        """Return the message as JSON."""
        return {
            "event": self.event,
            "subject": masked(self.subject),
            "text": self.text,
            "links": dict(self.links),
            "details": dict(self.details),
        }


@dataclass(frozen=True)
class RunLinks:
    """What a message names besides its contents."""

    workspace: Location
    data: str
    """Name of the data set."""
    run: str | None = None
    """Address of the run in Prefect's UI; None without a server."""
    view: str | None = None
    """Address of the workspace's web page; None: the links lead to files."""

    def links(self, record: EnsembleRecord | None = None) -> dict[str, str]:
        """Return the addresses by name: the run, the report of its ensemble, the workspace."""
        results = ResultLinks(self.workspace, self.view)
        run = {"run": self.run} if self.run else {}
        report = {"report": results.report(record)} if record else {}
        return {**run, **report, "workspace": results.overview}


def first_line(text: str) -> str:
    r"""Return the first line of a state's message.

    Examples:
        >>> first_line("3 members failed: no memory\nmember 2: no memory")
        '3 members failed: no memory'
    """
    line = next(iter(text.strip().splitlines()), "no message")
    return line if len(line) <= HEADLINE_LENGTH else line[:HEADLINE_LENGTH] + "…"


def failure_notice(of: RunLinks, error: BaseException) -> Notice:
    """Return the message about a failed run.

    Args:
        of: The run.
        error: What ended it; its first line is the cause.
    """
    version, kl = current_champion(of.workspace)
    remains = f"{version}, KL {shown_kl(kl)}" if version else "none"
    return Notice(
        event="failed",
        subject=f"overlap: {of.data} failed",
        headline=f"{type(error).__name__}: {first_line(str(error))}",
        lines=(f"the champion is unchanged: {remains}",),
        links=of.links(),
        details={"champion": version, "kl_before": kl, "code": getattr(error, "code", None)},
    )


def outcome_notice(
    of: RunLinks, record: EnsembleRecord, promotion: Promotion, headline: str
) -> Notice:
    """Return the message about a published ensemble.

    Args:
        of: The run.
        record: The ensemble.
        promotion: The decision about the champion.
        headline: The run's state message.
    """
    aliases = read_aliases(of.workspace)
    event = _event(aliases, promotion)
    before = promotion.instead_of if promotion.promoted else aliases.version
    before_kl = None if before is None else kl_of(of.workspace, before)
    interval = record.kl_interval
    ends = f" (95 % interval {interval[0]:.4f} to {interval[1]:.4f})" if interval else ""
    earlier = f"{shown_kl(before_kl)} (champion {before})" if before else "no champion"
    lines = [f"KL now: {shown_kl(record.kl)}{ends}; before: {earlier}"]
    if record.trivial_kl is not None:
        lines.append(f"KL of the trivial prediction: {record.trivial_kl:.4f}")
    return Notice(
        event=event,
        subject=f"overlap: {of.data} {promotion.state}",
        headline=first_line(headline),
        lines=tuple(lines),
        links=of.links(record),
        details={
            "version": record.version,
            "promoted": promotion.promoted,
            "reason": promotion.reason,
            "kl": record.kl,
            "kl_interval": interval,
            "kl_before": before_kl,
            "kl_trivial": record.trivial_kl,
            "champion_before": before,
        },
    )


def _event(aliases: Aliases, promotion: Promotion) -> Event:
    """Classify a decision by the records, not by the words of its reason.

    A decision of this run is recorded, or about a version that is still open. Otherwise the
    version was settled before, and nothing has changed.
    """
    if promotion.promoted:
        return "promoted"
    latest = aliases.decision(promotion.version)
    recorded = latest is not None and (latest.at, latest.reason) == (promotion.at, promotion.reason)
    settled = aliases.version == promotion.version or aliases.was_considered(promotion.version)
    return "unchanged" if settled and not recorded else "not-promoted"


def data_notices(
    of: RunLinks, record: EnsembleRecord, drift: Sequence[DriftRow], limits: NotifyConfig
) -> list[Notice]:
    """Return the messages about the data of a run that exceed the limits.

    Args:
        of: The run.
        record: The ensemble, which knows the number of clips.
        drift: Drift of test from train, and of both from another data set.
        limits: The limits.
    """
    found = []
    row = max(drift, key=lambda row: row.drift.network_shift, default=None)
    limit = limits.drift_above
    if row is not None and limit is not None and row.drift.network_shift > limit:
        shift, reference = row.drift.network_shift, row.other or row.reference
        found.append(
            Notice(
                event="drift",
                subject=f"overlap: {of.data} has drifted",
                headline=f"drift (shift) of {row.clips} from {reference} is {shift:.3f}; "
                f"notify.drift_above is {limit:g}",
                links=of.links(record),
                details={
                    "clips": row.clips, "reference": reference, "shift": shift, "limit": limit,
                    "wasserstein_db": row.drift.wasserstein_db,
                },
            )
        )  # fmt: skip
    bad = record.clips.get(QUARANTINED, 0)
    total = bad + record.clips.get("train", 0) + record.clips.get("test", 0)
    if bad and limits.unusable_above is not None and bad / total > limits.unusable_above:
        found.append(
            Notice(
                event="unusable-clips",
                subject=f"overlap: {of.data} has unusable clips",
                headline=f"{bad} of {total} clips are unusable ({bad / total:.2%}); "
                "quarantine.parquet and the report list the reasons",
                links=of.links(record),
                details={"unusable": bad, "clips": total, "limit": limits.unusable_above},
            )
        )
    return found


def shown_kl(kl: float | None) -> str:
    """Return a KL with four digits, or that it is unknown."""
    return "not measured" if kl is None else f"{kl:.4f}"


def kl_of(workspace: Location, version: str) -> float | None:
    """Return the KL of a published version; None if unknown or no longer available."""
    record = WorkspacePaths(workspace).ensemble(version).record
    try:
        return load_ensemble(record).kl if record.exists() else None
    except (OverlapError, OSError):  # damaged: `overlap verify` reports it
        return None


def current_champion(workspace: Location) -> tuple[str | None, float | None]:
    """Return version and KL of the champion; None where unknown."""
    try:
        version = read_aliases(workspace).version
    except (OverlapError, OSError):
        return None, None
    return version, None if version is None else kl_of(workspace, version)
