"""Options that several commands share, written once."""

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.service.environment import prepare
from overlap.config import RunConfig
from overlap.config.loading import checked, gathered

WorkspaceOption = Annotated[str, typer.Option(help="Folder or URL that holds all results.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object for machines.")]
Verbose = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show the logs of Prefect and Dask.")
]
Cluster = Annotated[
    str | None, typer.Option(help="Address of a running Dask scheduler, tcp://host:8786.")
]

Data = Annotated[
    str,
    typer.Option(help="Folder or URL with train/, train_answer.csv, test/, submission.csv."),
]
SomeWorkspace = Annotated[str | None, typer.Option(help="Folder or URL that holds all results.")]
Preset = Annotated[str | None, typer.Option(help="demo, baseline or fast.")]
Members = Annotated[int | None, typer.Option(help="Networks to train and average.")]
ConfigFile = Annotated[
    Path | None, typer.Option(help="TOML, YAML or JSON file with any configuration.")
]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="One value, such as training.epochs=3."),
]
Compare = Annotated[
    str | None,
    typer.Option(help="Workspace of another data set: tells how far these decibels are from its."),
]

Values = dict[str, Any]
"""What a person gave of a configuration, nested as `RunConfig` is."""
RunCommand = Callable[[RunConfig, bool], None]
"""What a command does with the configuration; the flag asks for JSON."""


def given(  # noqa: PLR0913, PLR0917  one parameter per option
    data: Data,
    workspace: SomeWorkspace = None,
    preset: Preset = None,
    members: Members = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    compare: Compare = None,
    cluster: Cluster = None,
) -> Values:
    """The options of a run: what was given of its configuration."""
    flags: Values = {"data": data, "workspace": workspace, "preset": preset}
    flags = {name: value for name, value in flags.items() if value is not None}
    if members is not None:
        flags["ensemble"] = {"members": members}
    if compare is not None:
        flags["checks"] = {"compare_with": compare}
    if cluster is not None:
        flags["cluster"] = {"address": cluster}
    return gathered(flags, config, assignments or ())


def with_run_options(body: Callable[..., None]) -> Callable[..., None]:
    """A command with the options of a run, which reach the body as `values`, and the body's own.

    Typer reads the options of a command from its signature: it is put together here, so that
    the options of a run are written once.
    """
    options = inspect.signature(given).parameters
    own = inspect.signature(body).parameters

    def command(**chosen: Any) -> None:  # noqa: ANN401  as Typer hands them over
        values = given(**{name: chosen.pop(name) for name in options})
        body(values, **chosen)

    parameters = [*options.values(), *(own[name] for name in own if name != "values")]
    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    command.__doc__, command.__name__ = body.__doc__, body.__name__
    return command


def run_command(app: typer.Typer) -> Callable[[RunCommand], RunCommand]:
    """Add a command that takes the options of a run; its name and help are the function's."""

    def add(body: RunCommand) -> RunCommand:
        def command(values: Values, *, as_json: Json = False, verbose: Verbose = False) -> None:
            chosen = checked(values)
            prepare(verbose=verbose)
            body(chosen, as_json)

        command.__doc__ = body.__doc__
        app.command(name=body.__name__)(with_run_options(command))
        return body

    return add
