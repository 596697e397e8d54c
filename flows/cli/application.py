"""The application of the command line: its commands, and the options that are valid for all."""

from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from flows.cli.commands import bench, data, demo, models, predict, service, show, stages, workspace

NO_COLOR = "--no-color"


class Commands(TyperGroup):
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
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.callback()
def everywhere(
    no_color: Annotated[
        bool,
        typer.Option(
            NO_COLOR, help="Print without colours, as with NO_COLOR=1; valid at any position."
        ),
    ] = False,
) -> None:
    """From clips of several words spoken at once to an averaged ensemble and its predictions."""


for group in (stages, demo, predict, workspace, models, data, show, bench, service):
    group.register(app)
