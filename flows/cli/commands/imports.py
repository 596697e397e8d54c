"""The command that imports labelled sound in other formats."""

import shlex
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.options import Json


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(name="import")(import_)


def import_(  # noqa: PLR0913  one parameter per option
    source: Annotated[
        str, typer.Argument(help="Folder with tables, manifests, or folders named by label.")
    ],
    target: Annotated[Path, typer.Argument(help="Folder of the data set; absent or empty.")],
    *,
    format_: Annotated[
        str,
        typer.Option(
            "--format",
            help="distribution, multi-hot, long, one-label, folders, audiofolder, lhotse or "
            "segments.",
            show_default="recognised",
        ),
    ] = "",
    table: Annotated[
        str,
        typer.Option(help="Table of labels, relative to SOURCE.", show_default="found"),
    ] = "",
    file_column: Annotated[
        str, typer.Option(help="Column with the sound files.", show_default="found")
    ] = "",
    label_column: Annotated[
        str,
        typer.Option(help="Column, or lhotse field, with the labels.", show_default="found"),
    ] = "",
    group_column: Annotated[
        str,
        typer.Option(help="Column with speakers or other groups.", show_default="found"),
    ] = "",
    separator: Annotated[
        str,
        typer.Option(
            help="Character between several labels of a cell; none: a cell is one label.",
            show_default="found",
        ),
    ] = "",
    sound: Annotated[
        str | None,
        typer.Option(
            help="Folder of the sound files, which paths are relative to.", show_default="SOURCE"
        ),
    ] = None,
    nested: Annotated[
        bool, typer.Option("--nested/--no-nested", help="Also find sound files in subfolders.")
    ] = False,
    suffix: Annotated[
        list[str] | None,
        typer.Option(
            help="Further suffix of sound files, such as .snd1; can be repeated.",
            show_default="none",
        ),
    ] = None,
    skip_missing: Annotated[
        bool,
        typer.Option("--skip-missing/--no-skip-missing", help="Leave out rows without a file."),
    ] = False,
    clip_seconds: Annotated[
        float,
        typer.Option(
            min=0.01, max=60, help="Length of the clips that are cut out of recordings, seconds."
        ),
    ] = 1.0,
    windows: Annotated[
        bool,
        typer.Option(
            "--windows/--no-windows",
            help="Cut whole recordings into windows, as for predictions, instead of clips around "
            "the labels.",
        ),
    ] = False,
    hop_seconds: Annotated[
        float | None,
        typer.Option(
            help="With --windows: time from one window to the next, seconds.",
            show_default="half a clip",
        ),
    ] = None,
    background: Annotated[
        str,
        typer.Option(
            help="With --windows: word of windows that have none of the labels.",
            show_default="they are left out",
        ),
    ] = "",
    copy: Annotated[
        bool, typer.Option("--copy/--no-copy", help="Copy the sound files instead of linking.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace/--no-replace", help="Replace an earlier import in TARGET.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Write a data set from labelled sound in another format.

    Reads tables (distributions, multi-hot rows, rows of file and label, one label per clip),
    folders named by label, Hugging Face audiofolder, lhotse manifests, and lists of segments such
    as AudioSet's. The format is recognised and its reason printed; a source with two readings is
    refused. The data set has links to the sound files; only clips that are cut out of recordings
    are new files.
    """
    from flows.cli.console import OUT, bar, print_json, print_line, print_next, print_note
    from overlap.catalog.formats.importing import import_data
    from overlap.catalog.formats.source import ImportOptions, format_named
    from overlap.catalog.tables.columns import ColumnNames

    options = ImportOptions(
        format=format_named(format_) if format_ else None,
        table=table,
        columns=ColumnNames(file_column, label_column, group_column),
        separator=separator.replace("\\t", "\t"),
        nested=nested,
        suffixes=tuple(f".{one.lower().lstrip('.')}" for one in suffix or ()),
        skip_missing=skip_missing,
        clip_seconds=clip_seconds,
        windows=windows,
        hop_seconds=hop_seconds,
        background=background,
    )
    with bar("importing clips") as on_progress:
        made = import_data(
            source, target, options, sound=sound, copy=copy, replace=replace,
            on_progress=on_progress,
        )  # fmt: skip
    if as_json:
        print_json({**asdict(made), "target": str(target)})
        return
    for problem in made.problems:
        print_note(str(problem))
    print_line("format", f"{made.title}: {made.reason}")
    print_line("training clips", f"{made.train:,}")
    print_line("test clips", f"{made.test:,}")
    print_line("labels", made.contents)
    OUT.print()
    print_next(f"overlap plan --data {shlex.quote(str(target))}")
