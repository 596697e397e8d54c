"""The page: all sections of a report put together, and written beside the ensemble."""

import json
import math
from collections import Counter
from typing import Any

from overlap.catalog.rows import OK, QUARANTINED, REMOVED
from overlap.ensemble.registry import EnsembleRecord, report_of
from overlap.features.compare import compare
from overlap.io.location import Location
from overlap.metrics.calibration import calibration_error
from overlap.reporting import charts, clip_section
from overlap.reporting.cost_section import cost_tiles, stages_table
from overlap.reporting.figures import draw_growth, draw_training, learning_curves
from overlap.reporting.html import Chart, Rows, Tile
from overlap.reporting.per_word import find_mistakes, per_word_metrics
from overlap.reporting.report_data import HeldOutClips, ReportData, gather_facts
from overlap.reporting.tables import (
    DRIFT_LEGEND,
    beside_trivial,
    comparison_table,
    drift_table,
    kl_table,
    members_table,
)

CLIPS_SHOWN = 8
"""Clips shown of each kind."""
PAIRS_SHOWN = 12
"""Pairs of words listed of each kind."""
REASONS_SHOWN = 20
"""Reasons listed of clips that cannot be used."""


def write_report(workspace: Location, record: EnsembleRecord) -> Location:
    """Write the report of a published ensemble, from the files of its workspace.

    Args:
        workspace: The workspace.
        record: The ensemble.

    Returns:
        The file.

    Raises:
        NotReadyError: the workspace has no catalogue.
        CorruptError: a file of it cannot be read.
    """
    target = report_of(workspace, record)
    target.write_bytes(render(gather_facts(workspace, record)).encode())
    return target


def render(facts: ReportData) -> str:
    """The report as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("overlap.reporting", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    record = facts.record
    told: dict[str, Any] = {
        "record": record,
        "state": _state(facts),
        "headline": _tiles(facts),
        "growth": _growth(record),
        "training": _training(facts),
        "missing": facts.missing,
        "duel": comparison_table(facts.promotion)
        if facts.promotion and facts.promotion.duel
        else (),
        "members": members_table(facts.members),
        "cost": cost_tiles(facts),
        "stages": stages_table(facts),
        "quality": _quality(facts),
        "drift": _drift(facts),
        "drift_legend": DRIFT_LEGEND,
        "champion_drift": _champion_drift(facts),
        "config": json.dumps(record.config, indent=2, ensure_ascii=False),
        "software": [{"package": name, "version": v} for name, v in record.software.items()],
        "held_out": None,
    }
    if facts.held_out is not None and len(facts.held_out.rows):
        told["held_out"] = _held_out(facts, facts.held_out)
    return pages.get_template("page.html").render(told)


def _state(facts: ReportData) -> str:
    """Whether it is the champion, in a sentence."""
    own = "" if facts.record.version == facts.champion else "not "
    said = f": {facts.promotion.reason}" if facts.promotion else ""
    return f"It was {own}the champion when this report was written{said}."


def _tiles(facts: ReportData) -> list[Tile]:
    record, tiles = facts.record, []
    if record.kl is not None:
        ends = "95 % {:.4f} to {:.4f}".format(*record.kl_interval) if record.kl_interval else ""
        tiles.append(Tile("KL of the ensemble", f"{record.kl:.4f}", ends))
    single = [kl for kl in record.member_kl if kl is not None]
    if single:
        mean = sum(single) / len(single)
        ends = f"{min(single):.4f} to {max(single):.4f}"
        tiles.append(Tile("KL of a member", f"{mean:.4f}", f"{len(single)} members, {ends}"))
    duel = facts.promotion.duel if facts.promotion else None
    if duel:
        against = f"this one {duel.challenger_kl:.4f} on the same {duel.clips} clips"
        tiles.append(Tile("KL of the champion before", f"{duel.champion_kl:.4f}", against))
    if record.gain is not None:
        beside = f"the ensemble is {beside_trivial(record.gain)}"
        tiles.append(Tile("KL of the trivial prediction", f"{record.trivial_kl:.4f}", beside))
    if facts.held_out is not None:
        error = f"{calibration_error(facts.held_out.labels, facts.held_out.pooled):.4f}"
        tiles.append(Tile("Calibration error", error, "mean distance of predicted and true share"))
    return tiles


def _growth(record: EnsembleRecord) -> Chart | None:
    drawn = draw_growth(record)
    if drawn is None:
        return None
    last = record.curve[-1]
    says = f"KL falls from {record.curve[0].kl:.4f} of one to {last.kl:.4f} of all."
    if record.more:
        more = record.more
        says += (
            f" {more.members} more members are expected to lower it by {more.gain:.4f} "
            f"({more.low:.4f} to {more.high:.4f})."
        )
    rows = kl_table(record)
    return Chart("KL as members are added", says, charts.svg(drawn, "growth"), rows)


def _training(facts: ReportData) -> Chart | None:
    if not facts.members:
        return None
    says = "A line for each member; the dot is the epoch whose weights were kept."
    drawn = charts.svg(draw_training(facts.members), "training")
    return Chart("Training curves", says, drawn, _epochs(facts))


def _epochs(facts: ReportData) -> Rows:
    """The figures of the curves: a row per epoch, a column per member."""
    _, curves = learning_curves(facts.members)
    return [
        {"epoch": str(n + 1)}
        | {
            f"member {m}": f"{curve[n]:.4f}" if n < len(curve) else ""
            for m, curve in enumerate(curves, 1)
        }
        for n in range(max(len(curve) for curve in curves))
    ]


def _held_out(facts: ReportData, held_out: HeldOutClips) -> dict[str, Any]:
    labels, pooled, words = held_out.labels, held_out.pooled, facts.record.words
    figure, rows = charts.calibration(labels, pooled)
    calibration = Chart(
        "Calibration", "Points on the dashed line are shares that are as large as predicted.",
        charts.svg(figure, "calibration"), rows,
    )  # fmt: skip
    figure, rows = charts.predictions(labels, pooled)
    shares = Chart(
        "Predicted shares", "The further apart the two lines are, the surer the ensemble is.",
        charts.svg(figure, "shares"), rows,
    )  # fmt: skip
    figure, rows = charts.scores(held_out.kl)
    scores = Chart("KL of single clips", "", charts.svg(figure, "scores"), rows)
    found = find_mistakes(labels, pooled)
    pairs = Chart(
        "Words said where others were missed",
        "The darker a cell, the more often its column's word was said where its row's was missed.",
        charts.svg(charts.mistakes(words, found), "mistakes"),
        [
            {"missed": words[a], "said instead": words[b], "times": f"{times:.1f}"}
            for a, b, times in found.often_instead(PAIRS_SHOWN)
        ],
    )

    def shown(places: list[int]) -> list[clip_section.Shown]:
        return [clip_section.show(held_out, place, facts.catalog, facts.store) for place in places]

    return {
        "clips": len(held_out.rows),
        "charts": [calibration, shares, scores],
        "pairs": pairs,
        "together": [
            {"word": words[a], "and": words[b], "clips": f"{count:.0f}"}
            for a, b, count in found.often_together(PAIRS_SHOWN)
        ],
        "words": [
            {
                "word": one.word,
                "part of the KL": f"{one.kl:.4f}",
                "clips": f"{one.clips:,}",
                "found": _percent(one.found),
                "share where it is": _number(one.named),
                "share where it is not": _number(one.imagined),
            }
            for one in per_word_metrics(words, labels, pooled)
        ],
        "worst": shown(clip_section.worst(held_out, CLIPS_SHOWN)),
        "apart": shown(clip_section.most_apart(held_out, CLIPS_SHOWN)),
    }


def _percent(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.1%}"


def _number(value: float) -> str:
    return "" if math.isnan(value) else f"{value:.4f}"


def _quality(facts: ReportData) -> dict[str, Rows]:
    """What was found out about the sound files, as they are now."""
    frame = facts.catalog.clips
    usable = frame[frame["state"] == OK]
    split = {name: usable[usable["split"] == name] for name in ("train", "test")}
    repairs = Counter(repair for said in usable["repairs"] for repair in said.split())
    same = usable["digest"].duplicated(keep=False)
    across = usable[same].groupby("digest")["split"].nunique()
    counts = [
        ("training clips", len(split["train"])),
        ("test clips", len(split["test"])),
        ("cannot be used", int((frame["state"] == QUARANTINED).sum())),
        ("no longer there", int((frame["state"] == REMOVED).sum())),
        *((f"repaired: {name}", count) for name, count in sorted(repairs.items())),
        ("clipped", int(usable["clipped"].astype(bool).sum())),
        ("same sound under several ids", int(same.sum())),
        ("sounds in train and in test", int((across > 1).sum())),
    ]
    bad = frame[frame["state"] == QUARANTINED]
    reasons = bad["reason"].value_counts().head(REASONS_SHOWN)
    return {
        "counts": [{"what": name, "clips": f"{count:,}"} for name, count in counts],
        "reasons": [
            {"reason": str(reason), "clips": f"{count:,}",
             "for example": str(bad.loc[bad["reason"] == reason, "file"].iloc[0])}
            for reason, count in reasons.items()
        ],
    }  # fmt: skip


def _drift(facts: ReportData) -> Rows:
    if facts.store is None:
        return ()
    top_db = float(facts.record.config["training"]["top_db"])
    return drift_table(compare(facts.store, None, top_db))


def _champion_drift(facts: ReportData) -> Rows:
    """How the clips that this ensemble learned from differ from the champion's."""
    if facts.champion_member is None or not facts.members:
        return ()
    own, other = facts.members[0].spec, facts.champion_member.spec
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
