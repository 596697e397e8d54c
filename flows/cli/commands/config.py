"""The commands for settings: config show, config schema."""

from typing import Annotated

import typer

from flows.cli.options import (
    Assignments,
    Cluster,
    Compare,
    ConfigFile,
    Json,
    Members,
    Preset,
    SomeWorkspace,
    option_values,
)

settings = typer.Typer(help="Settings of a run.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(settings, name="config")


@settings.command()
def show(  # noqa: PLR0913, PLR0917  one parameter per option
    section: Annotated[
        str | None,
        typer.Argument(
            help="Section or setting, such as training or training.epochs.", show_default="all"
        ),
    ] = None,
    data: Annotated[
        str | None, typer.Option(help="Folder or URL with the clips.", show_default="none")
    ] = None,
    workspace: SomeWorkspace = None,
    preset: Preset = None,
    members: Members = None,
    config: ConfigFile = None,
    assignments: Assignments = None,
    compare: Compare = None,
    cluster: Cluster = None,
    as_json: Json = False,
) -> None:
    """Show every setting that a run with the same options would have, and where it comes from.

    Options win over --set, --set over the file, the file over the preset, and the preset over the
    defaults.
    """
    from dataclasses import asdict

    from flows.cli.console import print_json, print_table
    from overlap.config.form import value_as_text
    from overlap.config.origins import resolve
    from overlap.errors import ConfigError

    flags = option_values(data, workspace, preset, members, compare, cluster)
    found = resolve(flags, config, assignments or ())
    if section is not None:
        known = found
        found = {name: found[name] for name in found if f"{name}.".startswith(f"{section}.")}
        if not found:
            sections = sorted({name.partition(".")[0] for name in known})
            raise ConfigError(
                f"{section}: no such section or setting; sections are {', '.join(sections)}",
                code="unknown-key",
                key=section,
            )
    if as_json:
        print_json({name: asdict(setting) for name, setting in found.items()})
        return
    rows = [(name, value_as_text(one.value), str(one)) for name, one in found.items()]
    print_table("Settings", ("setting", "value", "origin"), rows, whole=1)


@settings.command()
def schema() -> None:
    """Print the JSON schema of configuration files, with which editors complete and check them."""
    from flows.cli.console import print_json
    from overlap.config.origins import json_schema

    print_json(json_schema())
