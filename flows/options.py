"""Options that several commands share, written once."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.environment import prepare
from overlap.config import RunConfig
from overlap.configure import configure

Workspace = Annotated[str, typer.Option(help="Folder or URL that holds all results.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the logs of Prefect and Dask.")
]
Cluster = Annotated[
    str | None, typer.Option(help="Address of a running Dask scheduler, tcp://host:8786.")
]

RunCommand = Callable[[RunConfig, bool], None]
"""What a command does with the configuration; the flag asks for JSON."""


def run_command(app: typer.Typer) -> Callable[[RunCommand], RunCommand]:
    """Add a command that takes the options of a run; its name and help are the function's."""

    def add(body: RunCommand) -> RunCommand:
        def command(  # noqa: PLR0913  one parameter per option
            *,
            data: Annotated[
                str,
                typer.Option(
                    help="Folder or URL with train/, train_answer.csv, test/, submission.csv."
                ),
            ],
            workspace: Annotated[
                str | None, typer.Option(help="Folder or URL that holds all results.")
            ] = None,
            preset: Annotated[str | None, typer.Option(help="demo, baseline or fast.")] = None,
            members: Annotated[
                int | None, typer.Option(help="Networks to train and average.")
            ] = None,
            config: Annotated[
                Path | None, typer.Option(help="TOML, YAML or JSON file with any configuration.")
            ] = None,
            assignments: Annotated[
                list[str] | None,
                typer.Option(
                    "--set", metavar="KEY=VALUE", help="One value, such as training.epochs=3."
                ),
            ] = None,
            compare: Annotated[
                str | None,
                typer.Option(
                    help="Workspace of another data set: tells how far these decibels are from its."
                ),
            ] = None,
            cluster: Cluster = None,
            as_json: Json = False,
            verbose: Verbose = False,
        ) -> None:
            flags: dict[str, Any] = {"data": data, "workspace": workspace, "preset": preset}
            flags = {name: value for name, value in flags.items() if value is not None}
            if members is not None:
                flags["ensemble"] = {"members": members}
            if compare is not None:
                flags["checks"] = {"compare_with": compare}
            if cluster is not None:
                flags["cluster"] = {"address": cluster}
            chosen = configure(flags, config, assignments or ())
            prepare(verbose=verbose)
            body(chosen, as_json)

        command.__doc__ = body.__doc__
        app.command(name=body.__name__)(command)
        return body

    return add
