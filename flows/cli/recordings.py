"""The part of `overlap predict` that predicts recordings, in this process and without Prefect."""

from dataclasses import asdict
from pathlib import Path

from overlap.errors import UserError
from overlap.io.formatting import counted, format_duration

SHOWN_PROBLEMS = 20
"""Recordings with problems that are named."""


def predict_recordings(  # noqa: PLR0913, PLR0917  one parameter per option
    files: list[str],
    out: str,
    model: str,
    workspace: str,
    cluster: str | None,
    hop_seconds: float | None,
    window_pool: str | None,
    threshold: float | None,
    background: str | None,
    *,
    as_json: bool,
    verbose: bool,
) -> None:
    """Predict recordings and print what was found.

    Args:
        files: A folder, or sound files.
        out: Folder for the results.
        model: champion, a version, or an ensemble's folder.
        workspace: Address of the workspace.
        cluster: Not supported.
        hop_seconds: Time from one window to the next, s; None: half a clip.
        window_pool: How windows are pooled; None: mean.
        threshold: Least probability of a word in a segment; None: 0.5.
        background: Word without segments; None: all words have.
        as_json: Whether to print one JSON object.
        verbose: Whether to show logs.

    Raises:
        UserError: An option is not possible, or a file cannot be read or written.
    """
    from flows.service.environment import prepare

    prepare(verbose=verbose)
    from flows.cli.console import OUT, bar, print_json, print_note
    from overlap import load_ensemble
    from overlap.io.location import Location
    from overlap.promotion.champion import caution, find_ensemble
    from overlap.recordings import folder
    from overlap.recordings.pooling import window_pool as pool_named

    if cluster is not None:
        raise UserError(
            "--cluster does not apply to --recordings, which predicts in this process; leave it "
            "out, or split the recordings between processes",
            code="recordings-without-cluster",
        )
    options = folder.WindowOptions(
        hop_seconds,
        pool_named(window_pool or "mean"),
        0.5 if threshold is None else threshold,
        background or "",
    )
    target = _local_folder(out)
    listed = folder.list_recordings(files[0] if len(files) == 1 else files)
    owner, record = find_ensemble(Location.of(workspace), model)
    ensemble = load_ensemble(workspace, model)
    if warning := caution(owner, record):
        print_note(f"{record.version} is {warning}")
    for unused in listed.problems:
        print_note(str(unused))
    with bar("predicting recordings") as on_progress:
        done = folder.predict_recordings(
            listed, ensemble.window_predictor, options, target, on_progress
        )
    if as_json:
        print_json({**asdict(done), "version": record.version, "out": str(target)})
        return
    for repair, count in done.repairs.items():
        print_note(f"{counted(count, 'recording')} {'was' if count == 1 else 'were'} {repair}")
    for name, problem in [*done.problems.items()][:SHOWN_PROBLEMS]:
        print_note(f"{name}: {problem}")
    if len(done.problems) > SHOWN_PROBLEMS:
        print_note(f"{len(done.problems)} recordings have problems; see recordings.csv")
    OUT.print(
        f"{counted(done.recordings, 'recording')} of {format_duration(done.seconds)} predicted in "
        f"{counted(done.windows, 'window')} with {record.version}, in {target}",
        highlight=False,
    )
    if done.unusable_windows:
        OUT.print(f"{counted(done.unusable_windows, 'window')} unusable", highlight=False)
    OUT.print(
        f"{counted(done.segments, 'segment')} with a probability of at least {options.threshold:g}",
        highlight=False,
    )


def _local_folder(out: str) -> Path:
    from overlap.io.location import Location
    from overlap.io.user_output import STDOUT

    local = None if out == STDOUT else Location.of(out).local
    if local is None:
        raise UserError(
            f"--out {out}: with --recordings, name a local folder that is absent or empty",
            code="out-not-local",
            out=out,
        )
    return local
