"""The result of a search, as the command prints it."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from flows.cli.console import OUT, print_line, print_next, print_table
from overlap.tuning.summary import epochs_of

if TYPE_CHECKING:  # imports Prefect
    from flows.tune import TuneReport
    from overlap.tuning.outcomes import Trial


def print_study(report: "TuneReport") -> None:
    """Print the trials, the best settings and the judgement."""
    study, judgement = report.study, report.judgement
    keys = [dimension.key for dimension in study.space]
    print_table(
        f"Trials of study {study.record.id}",
        ("trial", *(key.rpartition(".")[2] for key in keys), "epochs", "KL", "state"),
        [
            (trial.number, *(_number(trial.values[key]) for key in keys), *_outcome(trial))
            for trial in report.trials
        ],
    )
    spent, full = epochs_of(report.trials, study)
    share = f"{100 * spent / full:.0f} % of the {full} of a full grid"
    lines: list[tuple[str, object]] = [
        ("epochs", f"{spent}, {share}"),
        ("best trial", f"{report.best.number}, held-out KL {report.best.kl:.4f}"),
        ("settings", study.paths.best),
        ("report", study.paths.report),
    ]
    if judgement is not None:
        lines += [
            ("untouched fold", f"KL {judgement.best_kl:.4f}, preset {judgement.first_kl:.4f}"),
            ("gain", judgement.ends),
        ]
    for name, value in lines:
        print_line(name, value)
    OUT.print(
        judgement.verdict if judgement else "The best settings are those of the preset.",
        highlight=False,
    )
    print_next(f"`overlap run --config {study.paths.best}` with the same data trains an ensemble")


def _outcome(trial: "Trial") -> tuple[object, object, str]:
    kl = trial.kl if trial.kl is not None else trial.kls.get(max(trial.kls, default=0))
    return max(trial.kls, default=0), "" if kl is None else f"{kl:.4f}", trial.state


def _number(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def study_json(report: "TuneReport") -> dict[str, Any]:
    """Return the result of a search as one JSON object."""
    study, judgement = report.study, report.judgement
    spent, full = epochs_of(report.trials, study)
    return {
        "study": study.record.id,
        "space": study.record.space,
        "trials": [asdict(trial) for trial in report.trials],
        "best": report.best.number,
        "epochs": {"spent": spent, "full": full},
        "config": str(study.paths.best),
        "judgement": None if judgement is None else judgement.model_dump(mode="json"),
        "verdict": None if judgement is None else judgement.verdict,
    }
