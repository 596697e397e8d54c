"""The command `bench streaming`: training from the disk, compared with training from memory."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.commands.benchmarks.bench import bench
from flows.cli.options import Json, known_presets


def register(_app: typer.Typer) -> None:
    """Add the command of this module to the group `bench`."""
    bench.command("streaming")(bench_streaming)


def bench_streaming(
    *,
    preset: Annotated[str, typer.Option(help="The training and its network.")] = "demo",
    clips: Annotated[int, typer.Option(min=64, help="Clips per epoch.")] = 8192,
    words: Annotated[int, typer.Option(min=5, help="Words.")] = 30,
    shuffle_clips: Annotated[
        int, typer.Option(min=1, help="Clips per shuffling window; streaming holds two windows.")
    ] = 1024,
    rounds: Annotated[int, typer.Option(min=1, help="Epochs per feed; figures are medians.")] = 3,
    as_json: Json = False,
) -> None:
    """Measure training from a store that does not fit into the memory that it may use.

    Two processes train the same clips, with the features in memory and streamed from the disk. They
    alternate, one epoch each. Before each streamed epoch the store is removed from the page cache.
    KERAS_BACKEND selects the backend.
    """
    from flows.cli.console import OUT, print_json, print_table
    from overlap.bench.training.streaming import bench_streaming as measure
    from overlap.io.formatting import format_bytes
    from overlap.system.resources.processors import usable_processors
    from overlap.training.backends.choice import check_backend

    check_backend()
    known_presets("--preset", [preset])
    found = measure(preset, clips, words, shuffle_clips, rounds)
    if as_json:
        about = {"preset": preset, "clips": clips, "shuffle_clips": shuffle_clips, "rounds": rounds}
        print_json(about | {"processors": usable_processors()} | asdict(found))
        return
    print_table(
        f"Training of {preset}: {format_bytes(found.features_bytes)} of features, of which "
        f"streaming may hold {format_bytes(found.allowed_bytes)}; {rounds} rounds",
        (
            "features", "clips/s", "ratio", "CPU ms/clip", "CPU ratio", "waiting",
            "read from disk per epoch", "peak memory, MB",
        ),
        [
            (
                row.feed, f"{row.clips_per_second:,.1f}", f"{row.ratio:.3f}",
                f"{row.cpu_ms_per_clip:.2f}", f"{row.cpu_ratio:.3f}", f"{row.waiting:.1%}",
                format_bytes(row.read_bytes), f"{row.peak_bytes / 1e6:,.0f}",
            )
            for row in found.rows
        ],
    )  # fmt: skip
    if not found.rows[-1].read_bytes:
        OUT.print(
            "This system does not count, or cannot force, reads from the disk: the streamed epochs "
            "may have come from the page cache.",
            soft_wrap=True,
        )
