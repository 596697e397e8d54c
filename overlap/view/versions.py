"""A version: its scores, members, words and files, and the comparison with another version."""

import shlex
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from markupsafe import Markup
from numpy.typing import NDArray

from overlap.ensemble.registry import EnsembleRecord
from overlap.io.location import Location
from overlap.io.workspace_paths import (
    ENSEMBLE_FILE,
    PREDICTIONS_FILE,
    REPORT_FILE,
    SUBMISSION_FILE,
)
from overlap.metrics.bootstrap import interval, resampled_means
from overlap.metrics.divergence import kl_per_cell
from overlap.promotion.champion import Aliases
from overlap.reporting.per_word import per_word_metrics
from overlap.reporting.report_data import HeldOutClips, ReportData
from overlap.reporting.result_tables import comparison_table, members_table
from overlap.view.charts import Frame, Line, line_chart
from overlap.view.reader import WorkspaceReader

FILES: Final = {
    REPORT_FILE: ("Report", "text/html; charset=utf-8"),
    SUBMISSION_FILE: ("Predictions for the test clips", "text/csv; charset=utf-8"),
    PREDICTIONS_FILE: ("Pooled predictions, NumPy", "application/octet-stream"),
    ENSEMBLE_FILE: ("Record with the configuration", "application/json"),
}
"""Files of a version that can be opened or downloaded: description and media type."""
CLIPS_COMPARED: Final = 15
"""Clips shown of each side of a comparison."""


@dataclass(frozen=True)
class _Difference:
    """A part of the comparison of two versions."""

    kl: float
    """Its contribution to the KL of this version, nats; of a clip, its KL."""
    other: float
    """The same of the other version, nats."""

    @property
    def gain(self) -> float:
        """Reduction of the KL by this version, nats."""
        return self.other - self.kl


@dataclass(frozen=True)
class WordDifference(_Difference):
    """A word in the comparison of two versions."""

    word: str


@dataclass(frozen=True)
class ClipDifference(_Difference):
    """A clip in the comparison of two versions."""

    row: int
    name: str
    words: tuple[str, ...]


@dataclass(frozen=True)
class VersionComparison:
    """The comparison of a version with another one on the clips that both held out."""

    other: str
    clips: int
    kl: float
    other_kl: float
    low: float
    """Lower end of the 95 % interval of the gain, paired over clips, nats."""
    high: float
    words: tuple[WordDifference, ...]
    """Largest differences first."""
    better: tuple[ClipDifference, ...]
    worse: tuple[ClipDifference, ...]

    @property
    def gain(self) -> float:
        """Reduction of the KL by this version, nats."""
        return self.other_kl - self.kl


def version_page(
    reader: WorkspaceReader, record: EnsembleRecord, other: str | None
) -> dict[str, Any]:
    """Return what the template of a version needs.

    Args:
        reader: The workspace.
        record: The version.
        other: The version to compare it with; None: none.
    """
    records = reader.ensembles().value or []
    aliases = reader.aliases().value or Aliases()
    report = reader.report(record)
    data = report.value
    decision = aliases.decision(record.version)
    compared, why_not = None, ""
    against = next((one for one in records if one.version == other), None)
    if other and against is None:
        why_not = f"There is no version {other}."
    elif against is not None:
        compared, why_not = _compared(data, reader.report(against).value, against)
    held_out = data.held_out if data else None
    return {
        "record": record,
        "is_champion": aliases.version == record.version,
        "was_champion": record.version in aliases.earlier,
        "decision": decision,
        "duel": comparison_table(decision) if decision and decision.duel else (),
        "report": report,
        "members": members_table(data.members) if data else (),
        "growth": _growth(record),
        "words": per_word_metrics(record.words, held_out.labels, held_out.pooled)
        if held_out
        else (),
        "files": _files(reader, record),
        "others": [one.version for one in reversed(records) if one.version != record.version],
        "other": other,
        "comparison": compared,
        "why_not": why_not,
        "commands": commands(reader.location, record.version),
    }


def commands(workspace: Location, version: str) -> list[tuple[str, str]]:
    """Return commands about a version with their purposes."""
    place = f"--workspace {shlex.quote(str(workspace))}"
    return [
        ("Make it the champion", f"overlap models promote {version} {place}"),
        ("Restore the previous champion", f"overlap models rollback {place}"),
        ("Export it as one file", f"overlap models export {version} --out model.onnx {place}"),
        (
            "Predict a folder of clips",
            f"overlap predict CLIPS --model {version} --out predictions.csv {place}",
        ),
    ]


def compare_held_out(
    words: tuple[str, ...],
    names: list[str],
    one: HeldOutClips,
    other: HeldOutClips,
    version: str,
) -> VersionComparison | None:
    """Compare two versions on the clips that both held out; None if there are none.

    Args:
        words: The words of both.
        names: Id of every row of the catalogue.
        one: Held-out clips of the version.
        other: Held-out clips of the other version.
        version: Name of the other version.
    """
    rows, first, second = np.intersect1d(one.rows, other.rows, return_indices=True)
    if not len(rows):
        return None
    labels = one.labels[first]
    cells = kl_per_cell(labels, one.pooled[first])
    other_cells = kl_per_cell(labels, other.pooled[second])
    kl, other_kl = cells.sum(axis=1), other_cells.sum(axis=1)
    # Single clips are resampled: the catalogue's groups belong to the rule of promotion.
    draws = resampled_means((other_kl - kl)[None], np.arange(len(rows)))[:, 0]
    low, high = interval(draws)
    by_word = [
        WordDifference(word=word, kl=float(own), other=float(its))
        for word, own, its in zip(words, cells.mean(axis=0), other_cells.mean(axis=0), strict=True)
    ]

    def clips(order: NDArray[np.int64]) -> tuple[ClipDifference, ...]:
        return tuple(
            ClipDifference(
                row=int(rows[n]),
                name=names[int(rows[n])],
                words=tuple(
                    word for word, label in zip(words, labels[n], strict=True) if label > 0
                ),
                kl=float(kl[n]),
                other=float(other_kl[n]),
            )
            for n in order[:CLIPS_COMPARED]
        )

    order = np.argsort(kl - other_kl, kind="stable")
    improved = int((kl < other_kl).sum())
    worsened = int((kl > other_kl).sum())
    return VersionComparison(
        other=version,
        clips=len(rows),
        kl=float(kl.mean()),
        other_kl=float(other_kl.mean()),
        low=low,
        high=high,
        words=tuple(sorted(by_word, key=lambda word: -abs(word.gain))),
        better=clips(order[:improved]),
        worse=clips(order[::-1][:worsened]),
    )


def _compared(
    data: ReportData | None, against: ReportData | None, other: EnsembleRecord
) -> tuple[VersionComparison | None, str]:
    if data is None or against is None:
        return None, "One of the versions cannot be read."
    if data.held_out is None:
        return None, data.missing
    if against.held_out is None:
        return None, f"{other.version}: {against.missing}"
    names = [str(name) for name in data.catalog.clips["clip_id"]]
    found = compare_held_out(
        data.record.words, names, data.held_out, against.held_out, other.version
    )
    return found, "" if found else "No clip was held out by both versions."


def _growth(record: EnsembleRecord) -> Markup:
    if not record.curve or record.trivial_kl is None:
        return Markup()
    points = [(point.members * record.per_round, point) for point in record.curve]
    last = points[-1][0]
    lines = [
        Line("trivial", [(1, record.trivial_kl), (max(last, 2), record.trivial_kl)]),
        Line("member", [(1, kl) for kl in record.member_kl], dots=True),
        Line(
            "ensemble",
            [(size, point.kl) for size, point in points],
            [(point.low, point.high) for _, point in points],
            dots=True,
        ),
    ]
    label = f"Held-out KL as members are added: {points[0][1].kl:.4f} to {points[-1][1].kl:.4f}."
    return line_chart(Frame(label, "members", "KL, nats"), lines)


def _files(reader: WorkspaceReader, record: EnsembleRecord) -> list[tuple[str, str, int]]:
    folder, found = reader.paths.ensemble(record.version).folder, []
    for name, (description, _) in FILES.items():
        try:
            found.append((name, description, (folder / name).size()))
        except OSError:
            continue  # absent: without test clips there is no submission
    return found
