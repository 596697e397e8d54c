"""The command that predicts new clips and recordings."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.options import Cluster, Json, Verbose, WorkspaceOption
from overlap.errors import UserError
from overlap.io.formatting import counted


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(predict)


def predict(  # noqa: PLR0913  one parameter per option
    clips: Annotated[
        list[str],
        typer.Argument(help="Folder or URL with audio files; or sound files with different names."),
    ],
    *,
    out: Annotated[
        str,
        typer.Option(
            help="CSV file, device or pipe to write; `-`: standard output. With --recordings: "
            "folder, absent or empty."
        ),
    ],
    model: Annotated[
        str, typer.Option(help="champion, a version, or an ensemble's folder.")
    ] = "champion",
    workspace: WorkspaceOption = "workspace",
    recordings: Annotated[
        bool,
        typer.Option(
            "--recordings/--no-recordings",
            help="Predict whole recordings of any length in overlapping windows.",
        ),
    ] = False,
    hop_seconds: Annotated[
        float | None,
        typer.Option(
            help="With --recordings: time from one window to the next, seconds.",
            show_default="half a clip",
        ),
    ] = None,
    window_pool: Annotated[
        str | None,
        typer.Option(
            help="With --recordings: how windows are pooled into the row of a recording: mean, "
            "max or noisy-or.",
            show_default="mean",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="With --recordings: least probability of a word in a segment.",
            show_default="0.5",
        ),
    ] = None,
    background: Annotated[
        str | None,
        typer.Option(
            help="With --recordings: word without segments, such as that of import --background.",
            show_default="all words have segments",
        ),
    ] = None,
    cluster: Cluster = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Predict new clips with a published ensemble.

    The table has the columns id, one per word, and `spread`: the disagreement of the members about
    the clip, as the mean over members of KL(member || ensemble) in nats. An unusable clip gets the
    mean prediction and an empty spread. Of a sound that is longer than a clip only the beginning
    is used.

    With --recordings, each file is predicted in windows of the clip length, and the folder OUT
    receives a table of windows, one of recordings, and segments above a threshold as CSV, Audacity
    labels and Raven selection tables.
    """
    if recordings:
        from flows.cli.recordings import predict_recordings

        predict_recordings(
            clips, out, model, workspace, cluster, hop_seconds, window_pool, threshold,
            background, as_json=as_json, verbose=verbose,
        )  # fmt: skip
        return
    given = {
        "--hop-seconds": hop_seconds, "--window-pool": window_pool, "--threshold": threshold,
        "--background": background,
    }  # fmt: skip
    for option, value in given.items():
        if value is not None:
            raise UserError(
                f"{option} applies to recordings; add --recordings, or leave it out",
                code="needs-recordings",
                option=option,
            )
    from flows.service.environment import prepare

    prepare(verbose=verbose)
    from flows.cli.console import OUT, keep_stdout_for, look_next, print_json, print_note
    from overlap.catalog import list_clips
    from overlap.io.location import Location
    from overlap.io.user_output import check_output, output_location
    from overlap.promotion.champion import caution, find_ensemble
    from overlap.training.backends.choice import check_backend

    root = Location.of(workspace)
    owner, ensemble = find_ensemble(root, model)
    warning = "" if model == "champion" else caution(owner, ensemble)
    chosen = clips[0] if len(clips) == 1 else clips
    listing = list_clips(chosen)
    check_backend(installed=cluster is None)
    target = output_location(out)
    check_output(target, "preds.csv")
    keep_stdout_for(target, as_json=as_json)
    if warning:
        print_note(f"{ensemble.version} is {warning}")
    done = None
    if cluster is None:
        from flows.cli.prediction_here import predicted_here

        done = predicted_here(root, owner, ensemble, listing, target)
    if done is None:
        from flows.cli.console import flow_shown
        from flows.predict import predict as predict_flow
        from overlap.config import ClusterConfig

        with flow_shown():
            done = predict_flow(chosen, out, model, workspace, ClusterConfig(address=cluster))
    if as_json:
        print_json(asdict(done))
        return
    earlier = done.clips - done.computed
    known = f", {earlier} of them by an earlier run" if earlier else ""
    clips_done = f"{counted(done.clips, 'clip')} predicted{known}"
    OUT.print(f"{clips_done}, in {target}", highlight=False, soft_wrap=True)
    if done.imputed:
        named = ", ".join(done.imputed[:5]) + (", …" if len(done.imputed) > 5 else "")
        OUT.print(
            f"{counted(len(done.imputed), 'clip')} unusable, with the mean prediction: {named}",
            highlight=False,
        )
    look_next(workspace, model)
