"""Assemble the sections of a report and write it next to its ensemble."""

import json
import math
from collections import Counter
from typing import Any

from overlap.catalog.rows import OK, QUARANTINED, REMOVED
from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.features.compare import compare
from overlap.io.location import Location
from overlap.metrics.calibration import Calibration, calibration
from overlap.reporting import clip_section
from overlap.reporting.cost_section import cost_tiles, stages_table
from overlap.reporting.history_table import history_table
from overlap.reporting.html import Chart, Rows, Tile
from overlap.reporting.per_word import count_confusions, per_word_metrics
from overlap.reporting.plots.encoding import svg
from overlap.reporting.plots.predictions import (
    calibration_curve,
    confusion_matrix,
    kl_histogram,
    probability_histogram,
)
from overlap.reporting.plots.run import draw_growth, draw_history, draw_training, learning_curves
from overlap.reporting.plots.style import WIDE
from overlap.reporting.report_data import HeldOutClips, ReportData, load_report_data
from overlap.reporting.result_tables import (
    DRIFT_LEGEND,
    comparison_table,
    drift_table,
    kl_table,
    members_table,
    relative_to_trivial,
)

CLIPS_SHOWN = 8
"""Clips shown in each list."""
PAIRS_SHOWN = 12
"""Pairs of words in each table."""
REASONS_SHOWN = 20
"""Reasons listed for unusable clips."""


def write_report(workspace: Location, record: EnsembleRecord) -> Location:
    """Write the report of a published ensemble from the files of its workspace.

    Args:
        workspace: The workspace.
        record: Record of the ensemble.

    Returns:
        The written file.

    Raises:
        NotReadyError: The workspace has no catalogue.
        CorruptError: A file of the workspace is damaged.
    """
    target = report_of(workspace, record)
    target.write_bytes(render(load_report_data(workspace, record)).encode())
    return target


def render(data: ReportData) -> str:
    """Render the report as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("overlap.reporting", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    record, held_out = data.record, data.held_out
    scored = held_out is not None and len(held_out.rows) > 0
    calibrated = calibration(held_out.labels, held_out.pooled) if scored and held_out else None
    context: dict[str, Any] = {
        "record": record,
        "state": _state(data),
        "headline": _tiles(data, calibrated),
        "growth": _growth(record),
        "history": _history(data),
        "training": _training(data),
        "missing": data.missing,
        "caution": data.promotion.caution if data.promotion else "",
        "duel": comparison_table(data.promotion) if data.promotion and data.promotion.duel else (),
        "members": members_table(data.members),
        "cost": cost_tiles(data),
        "stages": stages_table(data),
        "quality": _quality(data),
        "drift": _drift(data),
        "drift_legend": DRIFT_LEGEND,
        "champion_drift": _champion_drift(data),
        "config": json.dumps(record.config, indent=2, ensure_ascii=False),
        "software": [{"package": name, "version": v} for name, v in record.software.items()],
        "held_out": None,
    }
    if held_out is not None and calibrated is not None:
        context["held_out"] = _held_out(data, held_out, calibrated)
    return pages.get_template("page.html").render(context)


def _state(data: ReportData) -> str:
    """Return a sentence that states whether the ensemble is the champion."""
    negation = "" if data.record.version == data.champion else "not "
    reason = f" ({data.promotion.reason})" if data.promotion else ""
    return f"This ensemble was {negation}the champion when the report was written{reason}."


def _tiles(data: ReportData, calibrated: Calibration | None) -> list[Tile]:
    record, tiles = data.record, []
    if record.kl is not None:
        ends = "95 % {:.4f} to {:.4f}".format(*record.kl_interval) if record.kl_interval else ""
        tiles.append(Tile("KL of the ensemble", f"{record.kl:.4f}", ends))
    single = [kl for kl in record.member_kl if kl is not None]
    if single:
        mean = sum(single) / len(single)
        ends = f"{min(single):.4f} to {max(single):.4f}"
        tiles.append(Tile("KL of a member", f"{mean:.4f}", f"{len(single)} members, {ends}"))
    duel = data.promotion.duel if data.promotion else None
    if duel:
        note = f"this ensemble: {duel.challenger_kl:.4f} on the same {duel.clips} clips"
        tiles.append(Tile("KL of the previous champion", f"{duel.champion_kl:.4f}", note))
    if record.gain is not None:
        note = f"the ensemble is {relative_to_trivial(record.gain)}"
        tiles.append(Tile("KL of the trivial prediction", f"{record.trivial_kl:.4f}", note))
    if calibrated is not None:
        error = f"{calibrated.error:.4f}"
        tiles.append(Tile("Calibration error", error, "mean distance between prediction and label"))
    return tiles


def _growth(record: EnsembleRecord) -> Chart | None:
    drawn = draw_growth(record, WIDE)
    if drawn is None:
        return None
    last = record.curve[-1]
    caption = (
        f"The KL is {record.curve[0].kl:.4f} for the smallest ensemble and {last.kl:.4f} for the "
        "largest."
    )
    if record.more:
        more = record.more
        caption += (
            f" Adding {more.members} members is expected to reduce it by {more.gain:.4f} "
            f"({more.low:.4f} to {more.high:.4f})."
        )
    rows = kl_table(record)
    return Chart("KL as members are added", caption, svg(drawn, "growth"), rows)


def _history(data: ReportData) -> Chart | None:
    drawn = draw_history(data.history, WIDE)
    if drawn is None:
        return None
    caption = (
        "Each KL is on the held-out clips of its version; the decision compares two versions on "
        "the same clips."
    )
    content = svg(drawn, "history")
    return Chart("KL of the published versions", caption, content, history_table(data.history))


def _training(data: ReportData) -> Chart | None:
    if not data.members:
        return None
    caption = (
        "Each line is a member; the dot marks the epoch whose weights were selected. The axes show "
        "the later epochs."
    )
    drawn = svg(draw_training(data.members, WIDE), "training")
    return Chart("Training curves", caption, drawn, _epochs(data))


def _epochs(data: ReportData) -> Rows:
    """Return the values of the curves: a row per epoch, a column per metric and member."""
    curves = learning_curves(data.members)
    names = {"held_out_kl": "KL", "loss": "loss"}
    return [
        {"epoch": str(n + 1)}
        | {
            f"{names[key]} of member {m}": f"{values[n]:.4f}" if n < len(values) else ""
            for key, lines in curves.items()
            for m, values in enumerate(lines, 1)
        }
        for n in range(max(len(member.history) for member in data.members))
    ]


def _held_out(data: ReportData, held_out: HeldOutClips, calibrated: Calibration) -> dict[str, Any]:
    labels, pooled, words = held_out.labels, held_out.pooled, data.record.words
    figure, rows = calibration_curve(calibrated)
    curve = Chart(
        "Calibration",
        "Predictions on the dashed line equal the labels on average; the calibration error is the "
        "mean distance from it.",
        svg(figure, "calibration"), rows,
    )  # fmt: skip
    figure, rows = probability_histogram(labels, pooled)
    probabilities = Chart(
        "Predicted probabilities", "A larger distance between the lines means better separation.",
        svg(figure, "probabilities"), rows,
    )  # fmt: skip
    figure, rows = kl_histogram(held_out.kl)
    scores = Chart("KL of single clips", "", svg(figure, "scores"), rows)
    confusions = count_confusions(labels, pooled)
    pairs = Chart(
        "Confusions",
        "Darker cells: the word of the column was predicted more often where that of the row was "
        "missed.",
        svg(confusion_matrix(words, confusions), "confusions"),
        [
            {"missed": words[a], "predicted instead": words[b], "count": f"{count:.1f}"}
            for a, b, count in confusions.most_confused(PAIRS_SHOWN)
        ],
    )

    metrics = per_word_metrics(words, labels, pooled)

    def cards(indices: list[int]) -> list[clip_section.ClipCard]:
        return [
            clip_section.clip_card(held_out, index, data.catalog, data.store) for index in indices
        ]

    return {
        "clips": len(held_out.rows),
        "charts": [curve, probabilities, scores],
        "pairs": pairs,
        "together": [
            {"word": words[a], "and": words[b], "clips": f"{count:.0f}"}
            for a, b, count in confusions.most_missed_together(PAIRS_SHOWN)
        ],
        "words": [
            {
                "word": one.word,
                "contribution to the KL": f"{one.kl:.4f}",
                "clips": f"{one.clips:,}",
                "recall": _percent(one.recall),
                "mean probability if present": _number(one.mean_present),
                "mean probability if absent": _number(one.mean_absent),
            }
            for one in metrics
        ],
        "negative": any(one.kl < 0 for one in metrics),
        "colours": clip_section.spectrogram_colours(),
        "range_db": f"{clip_section.RANGE_DB:g}",
        "worst": cards(clip_section.highest_kl(held_out, CLIPS_SHOWN)),
        "disagreement": cards(clip_section.highest_disagreement(held_out, CLIPS_SHOWN)),
    }


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _quality(data: ReportData) -> dict[str, Rows]:
    """Return the current state of the sound files."""
    frame = data.catalog.clips
    usable = frame[frame["state"] == OK]
    split = {name: usable[usable["split"] == name] for name in ("train", "test")}
    repairs = Counter(repair for repairs in usable["repairs"] for repair in repairs.split())
    same = usable["digest"].duplicated(keep=False)
    across = usable[same].groupby("digest")["split"].nunique()
    counts = [
        ("training clips", len(split["train"])),
        ("test clips", len(split["test"])),
        ("unusable", int((frame["state"] == QUARANTINED).sum())),
        ("removed", int((frame["state"] == REMOVED).sum())),
        *((f"repaired: {name}", count) for name, count in sorted(repairs.items())),
        ("clipped", int(usable["clipped"].astype(bool).sum())),
        ("identical sound under several ids", int(same.sum())),
        ("identical sound in train and test", int((across > 1).sum())),
    ]
    bad = frame[frame["state"] == QUARANTINED]
    reasons = bad["reason"].value_counts().head(REASONS_SHOWN)
    return {
        "counts": [{"what": name, "clips": f"{count:,}"} for name, count in counts],
        "reasons": [
            {"reason": str(reason), "clips": f"{count:,}",
             "example": str(bad.loc[bad["reason"] == reason, "file"].iloc[0])}
            for reason, count in reasons.items()
        ],
    }  # fmt: skip


def _drift(data: ReportData) -> Rows:
    if data.store is None:
        return ()
    top_db = float(data.record.config["training"]["top_db"])
    return drift_table(compare(data.store, None, top_db))


def _champion_drift(data: ReportData) -> Rows:
    """Return the differences between the training clips of this ensemble and the champion."""
    if data.champion_member is None or not data.members:
        return ()
    own, other = data.members[0].spec, data.champion_member.spec
    if own.features != other.features:
        return ()
    return [
        {
            "n_fft/win": f"{one.n_fft}/{one.win_length}",
            "mean": f"{own.mean_db[n] - other.mean_db[n]:+.2f} dB",
            "std": f"{own.std_db[n] - other.std_db[n]:+.2f} dB",
            "floor": f"{own.floor_db[n] - other.floor_db[n]:+.2f} dB",
        }
        for n, one in enumerate(own.features.resolutions)
    ]
