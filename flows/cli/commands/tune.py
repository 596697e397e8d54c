"""The command that searches settings: tune."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.options import Json, Values, Verbose, with_run_options

if TYPE_CHECKING:
    from flows.tune import TuneReport
    from overlap.tuning.outcomes import Trial

TRIALS = 16
SEEDS = 3
Searches = Annotated[
    list[str] | None,
    typer.Option(
        "--search",
        metavar="KEY=VALUES",
        help="A setting to search: KEY=LOW:HIGH, KEY=LOW:HIGH:log, KEY=A,B,… or KEY alone for the "
        "range that its bounds allow; can be repeated.",
        show_default="learning rate, dropout, optimiser, augmentation",
    ),
]
Wanted = Annotated[
    int, typer.Option(min=1, help="Number of trials, with those of earlier runs of the study.")
]
Parallel = Annotated[
    int | None,
    typer.Option(min=1, help="Trials at a time.", show_default="as many as the cluster trains"),
]
Seeds = Annotated[
    int,
    typer.Option(min=1, help="Seeds with which the best settings are compared with the preset's."),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(with_run_options(tune, without=["members", "compare"]))


def tune(
    values: Values,
    *,
    search: Searches = None,
    trials: Wanted = TRIALS,
    parallel: Parallel = None,
    seeds: Seeds = SEEDS,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Search settings with Optuna, and compare the best with the preset on untouched clips.

    Each trial trains one member. Trials with a high held-out KL are stopped early. To resume an
    interrupted search, repeat the command.
    """
    from flows.cli.commands.stages import usable_workspace
    from flows.service.environment import prepare
    from overlap.config.loading import checked
    from overlap.tuning.definition import check_available, study_config
    from overlap.tuning.space import parse_space

    check_available()
    config = checked(values)
    parse_space(search or (), study_config(config))
    prepare(verbose=verbose)
    with usable_workspace(config):
        from flows.cli.console import flow_shown
        from flows.tune import Search
        from flows.tune import tune as tune_flow

        with flow_shown():
            report = tune_flow(config, Search(tuple(search or ()), trials, parallel, seeds))
    if as_json:
        from flows.cli.console import print_json

        print_json(_as_json(report))
        return
    print_study(report)


def print_study(report: "TuneReport") -> None:
    """Print the trials, the best settings and the judgement."""
    from flows.cli.console import OUT, print_line, print_next, print_table
    from overlap.tuning.summary import epochs_of

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


def _as_json(report: "TuneReport") -> dict[str, Any]:
    from overlap.tuning.summary import epochs_of

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
