"""The command that runs everything on a small generated data set."""

from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.stages import retrain_and_print
from flows.cli.options import Verbose


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(demo)


def demo(
    folder: Annotated[Path, typer.Argument(help="Folder for data and results.")] = Path("demo"),
    verbose: Verbose = False,
) -> None:
    """Generate a small data set with espeak-ng and run all stages on it."""
    from flows.service.environment import prepare

    prepare(verbose=verbose)
    from flows.cli.console import bar, predict_next, print_line
    from overlap.config import RunConfig
    from overlap.ensemble.score_tables import score_tables
    from overlap.reporting.result_tables import relative_to_trivial
    from overlap.synthetic import ANSWERS
    from overlap.synthetic.demo import make_data

    data = make_data(folder, bar)
    config = RunConfig(data=str(data), workspace=str(folder / "workspace"))
    submission = retrain_and_print(config, as_json=False)
    judged = score_tables(str(data / ANSWERS), submission)
    if judged.gain is not None:
        print_line(
            "test clips",
            f"KL {judged.kl:.4f}, {relative_to_trivial(judged.gain)} the trivial prediction, "
            "on voices that are not in the training clips",
        )
    predict_next(config.workspace)
