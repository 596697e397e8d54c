"""Options that several commands share."""

import inspect
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from overlap.config.presets import DEFAULT_PRESET, PRESETS
from overlap.errors import UserError

if TYPE_CHECKING:
    from overlap.config import RunConfig

WorkspaceOption = Annotated[
    str, typer.Option(help="Folder or URL of the workspace, which contains all results.")
]
Json = Annotated[bool, typer.Option("--json/--no-json", help="Print one JSON object for machines.")]
Verbose = Annotated[
    bool, typer.Option("--verbose/--no-verbose", "-v", help="Show the logs of Prefect and Dask.")
]
Cluster = Annotated[
    str | None,
    typer.Option(
        help="Address of a running Dask scheduler, tcp://host:8786.",
        show_default="the configuration's cluster",
    ),
]

Data = Annotated[
    str,
    typer.Option(help="Folder or URL with train/, train_answer.csv, test/, submission.csv."),
]
SomeWorkspace = Annotated[
    str | None,
    typer.Option(
        help="Folder or URL of the workspace, which contains all results.",
        show_default="workspace",
    ),
]
Preset = Annotated[
    str | None,
    typer.Option(
        help=f"{', '.join([*PRESETS][:-1])} or {[*PRESETS][-1]}.",
        show_default=DEFAULT_PRESET,
        autocompletion=lambda: list(PRESETS),
    ),
]
Members = Annotated[
    int | None,
    typer.Option(help="Number of networks to train and average.", show_default="of the preset"),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(help="Configuration file: TOML, YAML or JSON.", show_default="none"),
]
Assignments = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A single value, such as training.epochs=3; can be repeated.",
        show_default="none",
    ),
]
Compare = Annotated[
    str | None,
    typer.Option(
        help="Workspace of another data set, to report the drift of the decibels.",
        show_default="none",
    ),
]

Values = dict[str, Any]
"""The given part of a configuration, nested like `RunConfig`."""
RunCommand = Callable[["RunConfig", bool], None]
"""Body of a command; takes the configuration, and whether to print JSON."""


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
    """Collect the options of a run into the given part of its configuration."""
    from overlap.config.loading import gathered

    flags = option_values(data, workspace, preset, members, compare, cluster)
    return gathered(flags, config, assignments or ())


def option_values(
    data: str | None,
    workspace: str | None,
    preset: str | None,
    members: int | None,
    compare: str | None,
    cluster: str | None,
) -> Values:
    """Return the settings that have options of their own, where these are given."""
    flags: Values = {"data": data, "workspace": workspace, "preset": preset}
    flags = {name: value for name, value in flags.items() if value is not None}
    if members is not None:
        flags["ensemble"] = {"members": members}
    if compare is not None:
        flags["checks"] = {"compare_with": compare}
    if cluster is not None:
        flags["cluster"] = {"address": cluster}
    return flags


def with_run_options(
    body: Callable[..., None], *, without: Sequence[str] = ()
) -> Callable[..., None]:
    """Return a command with the options of a run, passed as `values`, and those of the body.

    Typer reads the options of a command from its signature, which this function assembles.

    Args:
        body: The body of the command.
        without: Options of a run that have no effect on this command.
    """
    known = inspect.signature(given).parameters
    options = {name: known[name] for name in known if name not in without}
    own = inspect.signature(body).parameters

    def command(**chosen: Any) -> None:  # noqa: ANN401  as Typer passes them
        values = given(**{name: chosen.pop(name) for name in options})
        body(values, **chosen)

    parameters = [*options.values(), *(own[name] for name in own if name != "values")]
    named = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in parameters]
    command.__signature__ = inspect.Signature(named)  # type: ignore[attr-defined]
    command.__doc__, command.__name__ = body.__doc__, body.__name__
    return command


def run_command(
    app: typer.Typer, *, without: Sequence[str] = ()
) -> Callable[[RunCommand], RunCommand]:
    """Add a command with the options of a run, named and documented like the function.

    Args:
        app: The application.
        without: Options of a run that have no effect on this command.
    """

    def add(body: RunCommand) -> RunCommand:
        def command(values: Values, *, as_json: Json = False, verbose: Verbose = False) -> None:
            from flows.service.environment import prepare
            from overlap.config.loading import checked

            chosen = checked(values)
            prepare(verbose=verbose)
            body(chosen, as_json)

        command.__doc__ = body.__doc__
        app.command(name=body.__name__)(with_run_options(command, without=without))
        return body

    return add


def known_presets(option: str, names: Sequence[str]) -> tuple[str, ...]:
    """Return the names of presets that an option has.

    Raises:
        UserError: A name is unknown (code `unknown-preset`).
    """
    unknown = [name for name in names if name not in PRESETS]
    if unknown:
        raise UserError(
            f"{option} {', '.join(unknown)}: unknown; choose from {', '.join(PRESETS)}",
            code="unknown-preset",
            unknown=unknown,
        )
    return tuple(names)


def whole_numbers(
    option: str, text: str, most: int, /, *, code: str, **fields: object
) -> tuple[int, ...]:
    """Return the numbers of an option that takes several.

    Args:
        option: Name of the option, for the message.
        text: Numbers separated by commas.
        most: Largest number; the smallest is 1.
        code: Code of the error.
        **fields: Fields of the error.

    Raises:
        UserError: It is not a list of such numbers.

    Examples:
        >>> whole_numbers("--clients", "1, 8", 1000, code="invalid-clients")
        (1, 8)
    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= most for part in parts):
        raise UserError(
            f"{option} {text}: give numbers from 1 to {most}, separated by commas",
            code=code, **fields,
        )  # fmt: skip
    return tuple(int(part) for part in parts)
