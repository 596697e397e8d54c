"""The overview: the champion, the KL of all versions over time, runs, data and disk."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from overlap.ensemble.registry import EnsembleRecord
from overlap.io.formatting import format_duration
from overlap.promotion.champion import Aliases, Promotion
from overlap.reporting.result_tables import drift_table
from overlap.view.charts import Frame, Line, line_chart
from overlap.view.reader import WorkspaceReader
from overlap.workspace.runs import RunRecord

VERSIONS_DRAWN = 40
"""Versions of the chart, the newest."""


@dataclass(frozen=True)
class Champion:
    """The champion as the overview shows it."""

    version: str
    record: EnsembleRecord | None
    """None if it no longer exists or cannot be read."""
    decision: Promotion | None
    """The decision that made it the champion; None if that is not recorded."""


@dataclass(frozen=True)
class VersionRow:
    """A row of the table of versions."""

    record: EnsembleRecord
    is_champion: bool
    decision: str
    """Why it is, or is not, the champion."""


def overview(reader: WorkspaceReader) -> dict[str, Any]:
    """Return what the template of the overview needs."""
    ensembles, aliases = reader.ensembles(), reader.aliases()
    records, known = ensembles.value or [], aliases.value or Aliases()
    champion = find_champion(records, known)
    drift = reader.drift()
    return {
        "exists": reader.exists(),
        "ensembles": ensembles,
        "aliases": aliases,
        "champion": champion,
        "chart": history_chart(records, known),
        "versions": version_rows(records, known),
        "clips": reader.clips(),
        "drift": drift,
        "drift_rows": drift_table(drift.value or ()),
        "disk": reader.disk(),
        **now(reader),
    }


def now(reader: WorkspaceReader) -> dict[str, Any]:
    """Return what the template of the runs needs."""
    runs = reader.runs()
    found = runs.value or ()
    return {"runs": runs, "running": [run for run in found if run.state() == "running"]}


def find_champion(records: list[EnsembleRecord], aliases: Aliases) -> Champion | None:
    """Return the champion, or None if there is none."""
    version = aliases.version
    if version is None:
        return None
    record = next((one for one in records if one.version == version), None)
    made = [one for one in aliases.history if one.version == version and one.promoted]
    return Champion(version, record, made[-1] if made else None)


def version_rows(records: list[EnsembleRecord], aliases: Aliases) -> list[VersionRow]:
    """Return the versions, newest first."""
    return [
        VersionRow(record, record.version == aliases.version, aliases.summary(record.version))
        for record in reversed(records)
    ]


def history_chart(records: list[EnsembleRecord], aliases: Aliases) -> Markup:
    """Draw the KL of the versions over time, with intervals, above the trivial prediction."""
    shown = [record for record in records if record.kl is not None][-VERSIONS_DRAWN:]
    if not shown:
        return Markup()
    promoted = {one.version for one in aliases.history if one.promoted}
    marked = frozenset(n for n, record in enumerate(shown) if record.version in promoted)
    lines = [
        Line("trivial", [(n, record.trivial_kl) for n, record in enumerate(shown)]),
        Line(
            "ensemble",
            [(n, record.kl) for n, record in enumerate(shown)],
            [record.kl_interval for record in shown],
            dots=True,
            marked=marked,
        ),
    ]
    label = f"Held-out KL of {len(shown)} versions over time; the values are in the table below."
    names = [f"{record.created:%m-%d %H:%M}" for record in shown]
    return line_chart(Frame(label, y_label="KL, nats", x_names=names), lines)


def time_left(run: RunRecord) -> str:
    """Return the time that the current stage of a run needs at its pace; empty if unknown."""
    stage = next((one for one in reversed(run.stages) if one.ended is None), None)
    if stage is None or not 0 < stage.done < stage.total:
        return ""
    elapsed = (datetime.now(UTC) - stage.started).total_seconds()
    return format_duration(elapsed * (stage.total - stage.done) / stage.done)
