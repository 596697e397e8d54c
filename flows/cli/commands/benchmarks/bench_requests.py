"""The command `bench requests`, which loads the servers of predictions."""

from dataclasses import asdict
from typing import Annotated

import typer

from flows.cli.commands.benchmarks.bench import DemoMembers, FullMembers, bench
from flows.cli.options import Json, whole_numbers


def register(_app: typer.Typer) -> None:
    """Add the command of this module to the group `bench`."""
    bench.command("requests")(bench_requests)


def bench_requests(  # noqa: PLR0913  one parameter per option
    *,
    clients: Annotated[
        str, typer.Option(help="Numbers of concurrent clients, separated by commas.")
    ] = "1,8,64",
    seconds: Annotated[float, typer.Option(min=1, max=600, help="Duration of each load, s.")] = 10,
    rounds: Annotated[int, typer.Option(min=1, help="Loads per server; figures are medians.")] = 3,
    demo_members: DemoMembers = 3,
    full_members: FullMembers = 15,
    compiled: Annotated[
        bool,
        typer.Option(
            "--compiled/--no-compiled",
            help="Also measure a FastAPI server with compiled networks.",
        ),
    ] = False,
    client: Annotated[
        str | None,
        typer.Option(
            help="Load client: hey or locust.", show_default="hey if installed, else locust"
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Measure requests per second of `overlap view` and of a FastAPI server without batches.

    Both predict clips with the same untrained ensembles on the processors. The FastAPI server
    calls every network of Keras for each request. KERAS_BACKEND selects its backend.
    """
    from flows.cli.console import OUT, print_json, print_table
    from overlap.bench.requests.clients import choose_client
    from overlap.bench.requests.measure import RequestsBench
    from overlap.bench.requests.measure import bench_requests as measure
    from overlap.system.resources.processors import usable_processors
    from overlap.training.backends.choice import check_backend

    name, send = choose_client(client)
    numbers = client_numbers(clients)
    check_backend()
    members = {"demo": demo_members, "full": full_members}
    job = RequestsBench({name: n for name, n in members.items() if n}, numbers, seconds, compiled)
    rows = measure(job, send, rounds)
    if as_json:
        about = {"client": name, "rounds": rounds, "processors": usable_processors()}
        print_json(about | asdict(job) | {"rows": [asdict(row) for row in rows]})
        return
    for ensemble in dict.fromkeys(row.ensemble for row in rows):
        print_table(
            f"{ensemble}, {usable_processors()} processors, {name}, {rounds} rounds",
            ("clients", "server", "requests/s", "ratio", "CPU-ms", "p50, ms", "p99, ms"),
            [
                (
                    str(r.clients), r.server, f"{r.requests_per_second:,.1f}", f"{r.ratio:.2f}",
                    f"{r.server_cpu_ms:,.1f}", f"{r.p50_ms:,.0f}", f"{r.p99_ms:,.0f}",
                )
                for r in rows
                if r.ensemble == ensemble
            ],
        )  # fmt: skip
    errors = sum(row.errors for row in rows)
    OUT.print(f"{errors:,} of {errors + sum(row.requests for row in rows):,} requests failed")


def client_numbers(text: str) -> tuple[int, ...]:
    """Return the numbers of clients of an option.

    Raises:
        UserError: It is not a list of positive numbers.

    Examples:
        >>> client_numbers("1, 8")
        (1, 8)
    """
    return whole_numbers("--clients", text, 1000, code="invalid-clients", clients=text)
