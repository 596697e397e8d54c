"""The command `bench recordings`, which finds words at known times in long recordings."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from flows.cli.commands.benchmarks.bench import bench
from flows.cli.options import Json, WorkspaceOption
from overlap.errors import UserError


def register(_app: typer.Typer) -> None:
    """Add the command of this module to the group `bench`."""
    bench.command("recordings")(bench_recordings)


def bench_recordings(  # noqa: PLR0913  one parameter per option
    words: Annotated[
        Path, typer.Argument(help="Folder with one subfolder of recordings per word.")
    ],
    *,
    workspace: WorkspaceOption = "workspace",
    model: Annotated[
        str, typer.Option(help="champion, a version, or an ensemble's folder.")
    ] = "champion",
    minutes: Annotated[
        str, typer.Option(help="Lengths of the recordings in minutes, separated by commas.")
    ] = "10,60",
    hops: Annotated[
        str, typer.Option(help="Times from one window to the next, s, separated by commas.")
    ] = "0.5,0.25",
    thresholds: Annotated[
        str, typer.Option(help="Least probabilities of a word, separated by commas.")
    ] = "0.3,0.5,0.7",
    every_seconds: Annotated[
        float, typer.Option(min=1, help="Mean time between words, seconds.")
    ] = 5.0,
    min_clips: Annotated[int, typer.Option(min=1, help="Skip words with fewer recordings.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Random seed.")] = 0,
    training_out: Annotated[
        Path | None,
        typer.Option(
            help="Only write recordings of other speakers with the times of their words into this "
            "folder, for `overlap import`.",
            show_default="none",
        ),
    ] = None,
    training_minutes: Annotated[
        int, typer.Option(min=1, help="Length of each training recording, minutes.")
    ] = 6,
    as_json: Json = False,
) -> None:
    """Find words at known times in recordings: precision, recall, error of the times, memory.

    Real words of speakers that are not in the training recordings are placed over noise. The
    segments are compared with the known times, and with what the ensemble recognises in clips that
    are cut out at these times.
    """
    from flows.cli.console import OUT, print_json, print_table
    from overlap.bench import recordings
    from overlap.io.atomic import new_folder

    job = recordings.RecordingsBench(
        str(words), workspace, model, tuple(int(one) for one in _numbers("--minutes", minutes)),
        _numbers("--hops", hops), _numbers("--thresholds", thresholds),
        every_seconds, min_clips, seed,
    )  # fmt: skip
    if training_out is not None:
        with new_folder(training_out) as folder:
            count = recordings.write_training(job, folder, training_minutes)
        OUT.print(f"{count:,} words in recordings and segments.csv, in {training_out}")
        return
    done = recordings.bench_recordings(job)
    if as_json:
        print_json(asdict(done))
        return
    print_table(
        f"{done.placed} words in {max(job.minutes)} minutes, predicted by {done.version}",
        ("", "threshold", "precision", "recall", "median error, s", "90 %, s"),
        [
            (
                row.name, f"{row.threshold:g}", f"{row.precision:.3f}", f"{row.recall:.3f}",
                *("" if one is None else f"{one:.2f}" for one in (row.error, row.large_error)),
            )
            for row in done.detections
        ],
    )  # fmt: skip
    print_table(
        "Memory of the process",
        ("minutes", "hop, s", "windows", "seconds", "peak, MB"),
        [
            (
                str(row.minutes), f"{row.hop_seconds:g}", f"{row.windows:,}", f"{row.seconds:.1f}",
                f"{row.peak_mb:,.0f}",
            )
            for row in done.memory
        ],
    )  # fmt: skip


def _numbers(option: str, text: str) -> tuple[float, ...]:
    """Return the positive numbers of an option."""
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        numbers = ()
    if not numbers or not all(0 < number < 1e4 for number in numbers):
        raise UserError(
            f"{option} {text}: give positive numbers, separated by commas",
            code="not-numbers",
            option=option,
        )
    return numbers
