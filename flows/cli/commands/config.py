"""The commands for settings: config show, config schema, config features."""

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


@settings.command()
def features(
    data: Annotated[str, typer.Option(help="Folder or URL of the data set.")],
    out: Annotated[str, typer.Option(help="Configuration file in TOML to write.")] = "-",
) -> None:
    """Plan features for the rate and length of the clips of a data set.

    The headers of up to 1,000 files are read. The sampling rate is the most frequent one, and 99 of
    100 clips are not longer than the planned length.
    """
    from flows.cli.console import keep_stdout_for, print_note
    from overlap.audio.survey import survey
    from overlap.catalog import list_data
    from overlap.errors import DataError
    from overlap.features.compute import unsupported_reason
    from overlap.features.planning import plan_features, section_as_toml
    from overlap.io.user_output import check_output, output_location, write_output

    target = output_location(out)
    check_output(target, "features.toml")
    listing = list_data(data)
    found = survey(listing.data, [*listing.files["file"]])
    if not found.sounds:
        raise DataError(
            f"{data}: none of {found.unreadable} examined clips is readable",
            code="no-readable-clip",
        )
    planned = plan_features(found.rate_hz, found.seconds)
    keep_stdout_for(target, as_json=False)
    print_note(str(found))
    if reason := unsupported_reason(planned):
        print_note(reason)
    write_output(target, section_as_toml(planned, str(found)).encode())
