"""The command `bench listing`, which compares listing with a bare loop or client."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.commands.benchmarks.bench import bench
from flows.cli.options import Json


def register(_app: typer.Typer) -> None:
    """Add the command of this module to the group `bench`."""
    bench.command("listing")(bench_listing)


def bench_listing(
    *,
    files: Annotated[int, typer.Option(min=1, help="Empty files to list.")] = 200_000,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds; figures are medians.")] = 3,
    address: Annotated[
        str | None,
        typer.Option(
            help="Folder on an S3-compatible server; the files are written below it and removed.",
            show_default="a temporary folder on this machine",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure files per second of listing a data set, relative to a bare loop or client.

    On this machine the bare loop is `os.scandir` with `stat`, on S3 a client that requests all
    pages of `list_objects_v2`.
    """
    from flows.cli.console import bars, print_json, print_table
    from overlap.bench.listing import bench_listing as measure

    rows = measure(files, rounds, address)
    if as_json:
        about = {"files": files, "rounds": rounds, "address": address}
        print_json(about | {"rows": [asdict(row) for row in rows]})
        return
    print_table(
        f"Listing of {files:,} files, {rounds} rounds",
        ("", "files/s", "ratio", "files per CPU-second", "ratio", ""),
        [
            (
                r.name, f"{r.files_per_second:,.0f}", f"{r.ratio:.2f}",
                f"{r.files_per_cpu_second:,.0f}", f"{r.cpu_ratio:.2f}", b,
            )
            for r, b in zip(rows, bars([r.files_per_second for r in rows]), strict=True)
        ],
    )  # fmt: skip
