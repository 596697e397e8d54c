"""The commands for published ensembles: list, promote, rollback, prune, export, report."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import Json, WorkspaceOption

KEEP = 5
"""Default number of versions that `prune` keeps."""

models = typer.Typer(help="Published ensembles and the champion.", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.add_typer(models, name="models")
    app.command()(report)


@models.command("list")
def list_models(workspace: WorkspaceOption = "workspace", as_json: Json = False) -> None:
    """List published ensembles, oldest first, with the decision about each."""
    from flows.cli.console import OUT, predict_next, print_json, print_table
    from overlap.ensemble.registry import list_ensembles
    from overlap.io.location import Location
    from overlap.promotion.champion import read_aliases

    place = Location.of(workspace)
    records, aliases = list_ensembles(place), read_aliases(place)
    if as_json:
        decisions = {record.version: aliases.decision(record.version) for record in records}
        print_json(
            {
                "champion": aliases.version,
                "ensembles": [
                    record.model_dump(mode="json")
                    | {"decision": decision.model_dump(mode="json") if decision else None}
                    for record in records
                    for decision in [decisions[record.version]]
                ],
                "history": [decision.model_dump(mode="json") for decision in aliases.history],
            }
        )
        return
    if not records:
        OUT.print(f"no ensembles in {place} yet; `overlap run` publishes one", highlight=False)
        return
    print_table(
        f"Ensembles in {place}",
        ("version", "members", "KL", "95 %", ""),
        [
            (
                record.version,
                len(record.members),
                "" if record.kl is None else f"{record.kl:.4f}",
                "{:.4f} to {:.4f}".format(*record.kl_interval) if record.kl_interval else "",
                ("champion: " if record.version == aliases.version else "")
                + (f"student of {record.distilled_from}: " if record.distilled_from else "")
                + aliases.summary(record.version),
            )
            for record in records
        ],
        whole=4,
    )
    predict_next(workspace)


@models.command()
def promote(
    version: Annotated[str, typer.Argument(help="A version; `overlap models list` prints them.")],
    workspace: WorkspaceOption = "workspace",
) -> None:
    """Make a version the champion, also one that is not better than the trivial prediction."""
    from flows.cli.console import OUT, predict_next, print_note
    from overlap.io.location import Location
    from overlap.promotion import champion

    place = Location.of(workspace)
    _, record = champion.find_ensemble(place, version)
    decision = champion.promote(place, version)
    OUT.print(f"champion: {decision.version}", highlight=False)
    if caution := champion.caution(place, record):
        print_note(f"{decision.version} is {caution}")
    predict_next(workspace)


@models.command()
def rollback(workspace: WorkspaceOption = "workspace") -> None:
    """Make the previous champion champion again."""
    from flows.cli.console import OUT, predict_next
    from overlap.io.location import Location
    from overlap.promotion import champion

    decision = champion.rollback(Location.of(workspace))
    OUT.print(f"champion: {decision.version} ({decision.reason})", highlight=False)
    predict_next(workspace)


@models.command()
def prune(
    *,
    keep: Annotated[
        int,
        typer.Option(min=1, help="Number of newest versions to keep, and of former champions."),
    ] = KEEP,
    dry_run: Annotated[bool, typer.Option(help="Only list what would be removed.")] = False,
    study: Annotated[
        list[str] | None,
        typer.Option(
            help="Remove a study of `overlap tune` and its members instead of versions; "
            "`overlap status` prints its id. Can be repeated.",
            show_default="none",
        ),
    ] = None,
    workspace: WorkspaceOption = "workspace",
    as_json: Json = False,
) -> None:
    """Remove old versions and their members; never the champion.

    Members that learned from the current clips are kept: a run may be training more of them.
    Members of studies are removed only with --study.
    """
    if study:
        _remove_studies(study, workspace, dry_run=dry_run, as_json=as_json)
        return
    from flows.cli.console import OUT, print_json, print_next
    from overlap.io.location import Location
    from overlap.promotion import retention

    done = retention.prune(Location.of(workspace), keep, dry_run=dry_run)
    if as_json:
        print_json(asdict(done) | {"dry_run": dry_run})
        return
    verb = "would be removed" if dry_run else "removed"
    OUT.print(
        f"{verb}: versions {len(done.versions)}, members {len(done.members)}; "
        f"versions kept: {len(done.kept)}",
        highlight=False,
    )
    for version in done.versions:
        OUT.print(f"  {version}", highlight=False)
    if dry_run and (done.versions or done.members):
        print_next("repeat the command without --dry-run to remove them")


def _remove_studies(studies: list[str], workspace: str, *, dry_run: bool, as_json: bool) -> None:
    from flows.cli.console import OUT, print_json, print_next
    from overlap.tuning.studies import remove_study
    from overlap.workspace.workspace import Workspace

    place = Workspace.of(workspace)
    place.check_usable()
    for name in studies:  # names a wrong id before anything is removed
        remove_study(place.location, name, dry_run=True)
    with place.lock():
        done = [remove_study(place.location, name, dry_run=dry_run) for name in studies]
    if as_json:
        print_json({"studies": [asdict(one) for one in done], "dry_run": dry_run})
        return
    verb = "would be removed" if dry_run else "removed"
    for one in done:
        OUT.print(f"{verb}: study {one.study}, members {len(one.members)}", highlight=False)
    if dry_run:
        print_next("repeat the command without --dry-run to remove them")


@models.command()
def export(
    version: Annotated[str, typer.Argument(help="champion, a version, or an ensemble's folder.")],
    *,
    out: Annotated[
        str,
        typer.Option(
            help="File or URL to write, ending in .keras or .onnx; with --format any name, a "
            "device or a pipe; `-`: standard output."
        ),
    ],
    kind: Annotated[
        str | None,
        typer.Option("--format", help="keras or onnx.", show_default="by the file's ending"),
    ] = None,
    workspace: WorkspaceOption = "workspace",
    as_json: Json = False,
) -> None:
    """Export an ensemble as one file, from samples to averaged probabilities.

    The exported model maps (clips, samples) float32 in [-1, 1] to (clips, words). Its predictions
    are compared with the pipeline's before the file is written.
    """
    from flows.cli.console import keep_stdout_for, print_json
    from flows.cli.results import print_export
    from overlap.export.request import export_ensemble, export_format
    from overlap.io.location import Location
    from overlap.io.user_output import output_location

    chosen, target = export_format(out, kind), output_location(out)
    keep_stdout_for(target, as_json=as_json)
    done = export_ensemble(Location.of(workspace), version, target, chosen)
    if as_json:
        print_json(asdict(done))
    else:
        print_export(done)


def report(
    version: Annotated[
        str, typer.Argument(help="champion, a version, or an ensemble's folder.")
    ] = "champion",
    *,
    workspace: WorkspaceOption = "workspace",
    as_json: Json = False,
) -> None:
    """Rewrite the report of an ensemble: one HTML file with figures, charts and clips.

    A run writes the report too; rewriting it updates the champion.
    """
    from flows.cli.console import print_json, print_line, print_next
    from overlap.io.location import Location
    from overlap.promotion.champion import find_ensemble
    from overlap.reporting.page import write_report

    place, record = find_ensemble(Location.of(workspace), version)
    written = write_report(place, record)
    if as_json:
        print_json({"version": record.version, "report": str(written)})
    else:
        print_line("report", written)
        print_next("open it in a browser; it needs no other file and no network")
