"""The command that searches settings: tune."""

from typing import Annotated

import typer

from flows.cli.options import Json, Values, Verbose, with_run_options

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
    from flows.cli.commands.tuning.printing import print_study, study_json
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

        print_json(study_json(report))
        return
    print_study(report)
