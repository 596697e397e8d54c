"""The report of a study: one HTML file next to its journal, in the look of the other reports."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from overlap.io.formatting import counted
from overlap.io.location import Location
from overlap.reporting.html import Chart, Rows, Tile
from overlap.reporting.plots.encoding import svg
from overlap.reporting.study.charts import (
    draw_epochs,
    draw_importance,
    draw_parallel_coordinates,
    last_kl,
)
from overlap.tuning.definition import Study
from overlap.tuning.judgement import Judgement
from overlap.tuning.outcomes import Trial
from overlap.tuning.summary import epochs_of


@dataclass(frozen=True)
class StudyResult:
    """What a report of a study shows."""

    study: Study
    trials: Sequence[Trial]
    best: Trial
    judgement: Judgement | None
    """None if the best settings are those that the study began with."""
    importance: Mapping[str, float]
    """The importance by setting, largest first; empty if it is unknown."""
    settings: str
    """The best settings as a configuration file."""


def write_study_report(result: StudyResult) -> Location:
    """Write the report of a study, and return its file."""
    target = result.study.paths.report
    target.write_bytes(render_study(result).encode())
    return target


def render_study(result: StudyResult) -> str:
    """Render the report of a study as HTML."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    pages = Environment(
        loader=PackageLoader("overlap.reporting", "."), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    spent, full = epochs_of(result.trials, result.study)
    return pages.get_template("study/page.html").render(
        study=result.study.record,
        best=result.best,
        verdict=verdict(result.judgement),
        caution=_caution(result.judgement),
        tiles_shown=_tiles(result, spent, full),
        judgement=_judgement_table(result),
        importance=_importance(result),
        coordinates=_coordinates(result),
        epochs=_epochs(result),
        trials=trials_table(result.trials, result.study),
        settings=result.settings,
    )


def verdict(judgement: Judgement | None) -> str:
    """Return the statement about the best settings."""
    if judgement is None:
        return "The best settings are those that the study began with: no trial was better."
    return judgement.verdict


def trials_table(trials: Sequence[Trial], study: Study) -> Rows:
    """Return a row per trial: its settings, epochs, KL and outcome."""
    rows = []
    for trial in trials:
        kl = last_kl(trial)
        values = {
            one.key.rpartition(".")[2]: _value(one.setting(trial.values[one.key]))
            for one in study.space
        }
        rows.append(
            {"trial": str(trial.number)} | values | {
                "epochs": str(max(trial.kls, default=0)),
                "held-out KL": "" if kl is None else f"{kl:.4f}",
                "outcome": trial.reason.splitlines()[0] if trial.reason else trial.state,
            }
        )  # fmt: skip
    return rows


def _tiles(result: StudyResult, spent: int, full: int) -> list[Tile]:
    judgement, tiles = result.judgement, []
    if judgement is not None:
        ends = f"95 % {judgement.low:.4f} to {judgement.high:.4f}"
        tiles += [
            Tile("Gain on the untouched fold", f"{judgement.gain:.4f}", ends),
            Tile("KL of the best settings", f"{judgement.best_kl:.4f}", "untouched fold"),
            Tile("KL of the preset", f"{judgement.first_kl:.4f}", "untouched fold"),
        ]
    stopped = sum(trial.state == "pruned" for trial in result.trials)
    tiles += [
        Tile("Trials", str(len(result.trials)), f"{stopped} stopped early"),
        Tile("Epochs", str(spent), f"{100 * spent / full:.0f} % of the {full} of a full grid"),
    ]
    return tiles


def _caution(judgement: Judgement | None) -> str:
    if judgement is None or judgement.uses < 2:
        return ""
    return (
        f"The untouched fold has judged this study {judgement.uses} times, after different numbers "
        "of trials. The interval does not account for that."
    )


def _judgement_table(result: StudyResult) -> Rows:
    judgement = result.judgement
    if judgement is None:
        return ()
    seeds = len(judgement.members) // 2
    return [
        {"what": "clips of the untouched fold", "value": f"{judgement.clips:,}"},
        {"what": "resampled for the interval", "value": judgement.drawn},
        {"what": "seeds of each setting", "value": str(seeds)},
        {"what": "KL of the preset", "value": f"{judgement.first_kl:.4f}"},
        {"what": "KL of the best settings", "value": f"{judgement.best_kl:.4f}"},
        {"what": "gain", "value": judgement.ends},
        {"what": "epochs of the judging members", "value": str(judgement.epochs)},
    ]


def _importance(result: StudyResult) -> Chart | None:
    if not result.importance:
        return None
    caption = (
        f"PED-ANOVA over the held-out KL after epoch {result.study.record.first_rung}, which all "
        "trials reached. It says which settings distinguish the better trials, not in which "
        f"direction. With {counted(len(result.trials), 'trial')} it is a rough figure."
    )
    rows = [
        {"setting": name, "importance": f"{value:.2f}"} for name, value in result.importance.items()
    ]
    drawn = svg(draw_importance(result.importance), "importance")
    return Chart("Importance of the settings", caption, drawn, rows)


def _coordinates(result: StudyResult) -> Chart:
    caption = (
        "Each line is a trial: its settings, and its held-out KL after its last epoch. The values "
        "are in the table of the trials."
    )
    figure = draw_parallel_coordinates(result.trials, result.study.space, result.best.number)
    return Chart("Settings and KL", caption, svg(figure, "coordinates"))


def _epochs(result: StudyResult) -> Chart:
    epochs = sorted({epoch for trial in result.trials for epoch in trial.kls})
    rows: Any = [
        {"trial": str(trial.number)}
        | {f"epoch {e}": f"{trial.kls[e]:.4f}" if e in trial.kls else "" for e in epochs}
        for trial in result.trials
    ]
    drawn = svg(draw_epochs(result.trials, result.best.number), "epochs")
    caption = "A line that ends early is a trial that was stopped."
    return Chart("Held-out KL by epoch", caption, drawn, rows)


def _value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
