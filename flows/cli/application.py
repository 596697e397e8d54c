"""The application of the command line: its commands, and the options that are valid for all."""

import sys
from typing import Annotated, Any

import typer

import overlap
from flows.cli.commands import (
    config,
    data,
    demo,
    distill,
    history,
    imports,
    models,
    predict,
    service,
    show,
    stages,
    view,
    workspace,
    workspace_life,
)
from flows.cli.commands.benchmarks import (
    bench,
    bench_accelerator,
    bench_listing,
    bench_quality,
    bench_recordings,
    bench_requests,
    bench_streaming,
)
from flows.cli.commands.tuning import tune
from flows.cli.help_texts import add_help_texts
from flows.cli.narrow import Group

COLOR_OPTIONS = ("--color", "--no-color")
"""Options that `flows.cli.main` reads before a console is created."""


class Commands(Group):
    """Reports an EOFError as an error; Typer takes it for closed input and prints "Aborted!"."""

    def invoke(self, ctx: Any) -> object:  # noqa: ANN401  a class that Typer keeps to itself
        """Run a command."""
        try:
            return super().invoke(ctx)
        except EOFError as error:  # a process or connection of the work ended
            raise RuntimeError("a process or connection ended unexpectedly") from error


app = typer.Typer(
    name="overlap",
    cls=Commands,
    help="From clips of several words spoken at once to an averaged ensemble and its predictions.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def print_version(asked: bool) -> None:
    """Print the version and exit."""
    if asked:
        sys.stdout.write(f"overlap {overlap.__version__}\n")
        raise typer.Exit


@app.callback()
def everywhere(
    version: Annotated[
        bool,
        typer.Option("--version", callback=print_version, is_eager=True, help="Print the version."),
    ] = False,
    color: Annotated[
        bool | None,
        typer.Option(
            "/".join(COLOR_OPTIONS),
            help="Colours, also without a terminal, or none, as with FORCE_COLOR=1 or NO_COLOR=1; "
            "valid at any position.",
            show_default="in a terminal",
        ),
    ] = None,
) -> None:
    """From clips of several words spoken at once to an averaged ensemble and its predictions."""


for group in (
    stages, tune, distill, demo, predict, workspace, workspace_life, models, history, data, imports,
    show, view, config, bench, bench_listing, bench_requests, bench_recordings, bench_accelerator,
    bench_quality, bench_streaming, service,
):  # fmt: skip
    group.register(app)
add_help_texts(app)
