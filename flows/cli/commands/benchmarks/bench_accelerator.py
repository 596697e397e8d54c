"""The command `bench accelerator`, which measures training on a GPU in eight parts."""

import json
from collections.abc import Mapping
from typing import Annotated, Any

import typer

from flows.cli.commands.benchmarks.bench import bench


def register(_app: typer.Typer) -> None:
    """Add the command of this module to the group `bench`."""
    bench.command("accelerator")(bench_accelerator)


def bench_accelerator(
    *,
    parts: Annotated[
        str | None, typer.Option(help="Parts, separated by commas.", show_default="all eight")
    ] = None,
    scale: Annotated[
        float, typer.Option(min=0.001, max=1, help="Size of the work; 1: that of real training.")
    ] = 1.0,
    patience: Annotated[float, typer.Option(min=1, help="Factor of the parts' time limits.")] = 1.0,
    out: Annotated[
        str | None, typer.Option(help="File for all results, JSON.", show_default="none")
    ] = None,
) -> None:
    """Measure training with JAX on an accelerator, in eight parts, and print the results as JSON.

    The parts are card, correctness, convolutions, fit, epochs, members, member-epoch and profile.
    Each is a process with a time limit, ten minutes in all. One that fails spoils no other. On a
    processor choose a small scale and much patience.
    """
    from flows.cli.console import print_json, print_note
    from overlap.bench.accelerator.run import PARTS
    from overlap.bench.accelerator.run import bench_accelerator as measure
    from overlap.io.user_output import check_output, output_location, write_output

    target = None if out is None else output_location(out)
    if target is not None:
        check_output(target, "accelerator.json")
    names = [name.strip() for name in parts.split(",")] if parts else list(PARTS)

    def done(name: str, result: Mapping[str, Any]) -> None:
        ended = "failed" if "error" in result else "done"
        print_note(f"{name}: {ended} after {result['seconds']:.0f} s")

    report = measure(names, scale, patience, done)
    if target is not None:
        write_output(target, json.dumps(report, indent=1).encode())
    for result in report.values():
        for one in result["results"]:
            one.pop("program", None)
    print_json(report)
