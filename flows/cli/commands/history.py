"""The command that shows how the published versions developed."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import Json, WorkspaceOption


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(history)


def history(
    *,
    out: Annotated[
        str | None,
        typer.Option(
            help="CSV file, device or pipe to write; `-`: standard output.", show_default="none"
        ),
    ] = None,
    workspace: WorkspaceOption = "workspace",
    as_json: Json = False,
) -> None:
    """Show score, decision and cost of every published version, oldest first.

    KL is on the version's own held-out clips. GPU hours and energy are those of the members that no
    earlier version contains. A figure that the records of a version do not contain is empty.
    """
    from flows.cli.console import OUT, keep_stdout_for, print_json, print_line, print_table
    from overlap.io.location import Location
    from overlap.io.user_output import check_output, output_location, write_output
    from overlap.reporting.history_table import history_csv, history_table
    from overlap.workspace.history import read_history

    place = Location.of(workspace)
    target = output_location(out) if out is not None else None
    if target is not None:
        check_output(target, "history.csv")
        keep_stdout_for(target, as_json=as_json)
    versions = read_history(place)
    if target is not None:
        write_output(target, history_csv(versions))
    if as_json:
        print_json({"versions": [asdict(one) for one in versions]})
    elif target is not None:
        print_line("history", f"{target}, versions: {len(versions)}")
    elif not versions:
        OUT.print(f"no ensembles in {place} yet; `overlap run` publishes one", highlight=False)
    else:
        rows = history_table(versions)
        print_table(f"Versions in {place}", [*rows[0]], [[*row.values()] for row in rows], whole=1)
        champion = next((one.version for one in versions if one.is_champion), "none")
        print_line("champion", champion)
