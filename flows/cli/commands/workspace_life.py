"""The commands for the life of a workspace: backup, copy, move, and withdrawal of clips."""

import sys
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from flows.cli.options import Json, WorkspaceOption
from overlap.errors import UserError
from overlap.io.formatting import counted, format_bytes

if TYPE_CHECKING:
    from overlap.workspace.transfer.copying import CopyReport
    from overlap.workspace.withdrawal.withdraw import WithdrawalReport

Report = TypeVar("Report")
life = typer.Typer(
    help="Back up, copy or move a workspace, while a run may work on it.", no_args_is_help=True
)
SHOWN = 5
"""Clips that a withdrawal lists; `--json` lists all."""
LEARNED = {
    "yes": "yes",
    "scored": "no: they were held out, and scored on",
    "no": "no",
    "unknown": "unknown: an early release",
}
Target = Annotated[
    str, typer.Argument(help="Folder or URL of the copy: absent, empty, or an interrupted copy.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(life, name="workspace")
    app.command()(withdraw)


@life.command()
def backup(
    folder: Annotated[str, typer.Argument(help="Folder or URL that contains the backups.")],
    *,
    workspace: WorkspaceOption = "workspace",
    keep: Annotated[
        int | None,
        typer.Option(
            min=1, help="Number of complete backups of this name to keep.", show_default="all"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Copy a workspace to a dated folder, compare the copy, and remove old backups."""
    from flows.cli.console import bar, in_workspace, print_json, print_line, print_next
    from overlap.io.location import Location
    from overlap.workspace.transfer.backups import backup_workspace

    with bar("backup") as on_progress:
        done = backup_workspace(Location.of(workspace), Location.of(folder), keep, on_progress)
    if as_json:
        print_json(asdict(done))
        return
    _print_copy(done.copy, "backup")
    for removed in done.removed:
        print_line("removed", removed)
    print_next(f"{in_workspace('workspace copy NEW', done.copy.target)} restores it at NEW")


@life.command()
def copy(
    target: Target, *, workspace: WorkspaceOption = "workspace", as_json: Json = False
) -> None:
    """Copy a workspace, and compare the copy; also restores a backup."""
    from flows.cli.console import in_workspace, print_json, print_next
    from overlap.workspace.transfer.copying import copy_workspace

    done = _transferred(copy_workspace, "copy", workspace, target)
    if as_json:
        print_json(asdict(done))
        return
    _print_copy(done, "copy")
    print_next(f"{in_workspace('verify --all', done.target)} recomputes its features")


@life.command()
def move(
    target: Target, *, workspace: WorkspaceOption = "workspace", as_json: Json = False
) -> None:
    """Copy a workspace, compare the copy, and remove the workspace; no run may work on it."""
    from flows.cli.console import in_workspace, print_json, print_line, print_next
    from overlap.workspace.transfer.moving import move_workspace

    done = _transferred(move_workspace, "move", workspace, target)
    if as_json:
        print_json(None if done is None else asdict(done))
        return
    if done is not None:
        _print_copy(done, "copy")
    print_line("removed", workspace)
    print_next(f"{in_workspace('status', target if done is None else done.target)}")


def withdraw(  # noqa: PLR0913  one parameter per option
    clips: Annotated[
        list[str] | None,
        typer.Argument(
            help="Ids or files of the last run's data; train/ID or test/ID.", show_default="none"
        ),
    ] = None,
    *,
    from_file: Annotated[
        str | None,
        typer.Option("--from", help="File with further clips, one a line.", show_default="none"),
    ] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Group, such as a speaker, whose clips are withdrawn; can be repeated.",
            show_default="none",
        ),
    ] = None,
    workspace: WorkspaceOption = "workspace",
    delete_files: Annotated[
        bool,
        typer.Option("--delete-files/--keep-files", help="Also remove sound files from the data."),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run/--no-dry-run", help="Only show what would be done."),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes/--no-yes", "-y", help="Do not ask for a confirmation.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Take clips out of a workspace, name what learned from them, and say what remains."""
    from flows.cli.console import print_json, print_next
    from overlap.workspace.withdrawal.withdraw import withdraw as library
    from overlap.workspace.workspace import Workspace

    opened = Workspace.of(workspace)
    named, groups = [*(clips or []), *_lines(from_file)], group or []
    if not dry_run and not yes:
        _print_withdrawal(library(opened, named, groups, dry_run=True))
        _confirm()
    done = library(opened, named, groups, dry_run=dry_run, delete_files=delete_files)
    if as_json:
        print_json(asdict(done))
        return
    _print_withdrawal(done)
    if dry_run:
        print_next("repeat the command without --dry-run to withdraw them")
    else:
        print_next("`overlap run` trains new members on the clips that remain")


def _lines(file: str | None) -> list[str]:
    from overlap.io.location import Location

    if file is None:
        return []
    location = Location.of(file)
    try:
        lines = location.read_bytes().decode().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--from {file}: cannot be read as text: {error}", code="list-unreadable", path=file
        ) from None
    return [line.strip() for line in lines if line.strip()]


def _confirm() -> None:
    """Ask whether to withdraw.

    Raises:
        UserError: the answer is no, or nobody can answer (`not-confirmed`).
    """
    if not sys.stdin.isatty() or not typer.confirm("Withdraw these clips?", err=True):
        raise UserError(
            "nothing was withdrawn; confirm, or repeat the command with --yes",
            code="not-confirmed",
        )


def _print_withdrawal(done: "WithdrawalReport") -> None:
    from flows.cli.console import print_line, print_table

    shown = ", ".join(done.clips[:SHOWN]) + (", …" if len(done.clips) > SHOWN else "")
    verb = "would withdraw" if done.dry_run else "withdrawn"
    print_line(verb, f"{counted(len(done.clips), 'clip')}: {shown}")
    for group in done.groups:
        print_line("group", group)
    print_table(
        "What learned from them",
        ("version", "learned", "clips", "members"),
        [(v.version, LEARNED[v.learned], v.clips, len(v.members)) for v in done.versions],
        whole=1,
    )
    if done.unlisted_members:
        print_line("also", f"{counted(len(done.unlisted_members), 'member')} of no version")
    if not done.dry_run:
        left = f", {done.blocks_to_compute} left to the next run" if done.blocks_to_compute else ""
        blocks = counted(done.blocks, "block")
        print_line("features", f"{blocks} rewritten, with zeros in their rows{left}")
        versions = counted(len(done.changed_versions), "version")
        print_line("predictions", f"of {counted(done.members, 'member')} and {versions}")
        removed = (
            counted(done.reports, "report"),
            counted(done.predictions, "stored prediction"),
            counted(len(done.files), "sound file"),
        )
        print_line("removed", ", ".join(removed))
    print_table("What remains", ("what", "where", "remedy"),
                [(r.what, r.where, r.remedy) for r in done.remaining])  # fmt: skip


def _transferred(transfer: Callable[..., Report], name: str, workspace: str, target: str) -> Report:
    from flows.cli.console import bar
    from overlap.io.location import Location

    with bar(name) as on_progress:
        return transfer(Location.of(workspace), Location.of(target), on_progress)


def _print_copy(done: "CopyReport", name: str) -> None:
    from flows.cli.console import print_line

    print_line(name, done.target)
    reused = f", {done.reused} of them by an interrupted copy" if done.reused else ""
    print_line("files", f"{done.files}, {format_bytes(done.bytes)}, all compared{reused}")
    if done.blocks_left_out:
        print_line("left out", f"{counted(done.blocks_left_out, 'block')} that a run computes now")
