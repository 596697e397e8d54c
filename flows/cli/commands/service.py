"""The commands for deployments on a Prefect server: deploy, serve."""

from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.options import Json, Values, Verbose, with_run_options
from overlap.errors import UserError

if TYPE_CHECKING:
    from flows.service.deployments import Wanted

Cron = Annotated[
    str | None,
    typer.Option(help="Schedule of the retraining, such as '0 2 * * *'.", show_default="inactive"),
]
Timezone = Annotated[str, typer.Option(help="Time zone of the schedule, such as Europe/Berlin.")]
Pool = Annotated[
    str, typer.Option(help="Work pool: overlap-process, overlap-docker or overlap-kubernetes.")
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(with_run_options(deploy))
    app.command()(with_run_options(serve))


def deploy(
    values: Values,
    *,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    pool: Pool = "overlap-process",
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Create work pools, deployments and the crash automation on the server at PREFECT_API_URL.

    The given options become defaults of the form in the UI and parameters of the scheduled run.
    """
    wanted = _wanted(values, cron, timezone, pool, verbose=verbose)
    from flows.cli.console import OUT, print_json, print_line
    from flows.service import deployments

    done = deployments.deploy(wanted)
    if as_json:
        print_json(asdict(done))
        return
    for name, made in (
        ("work pools", done.pools),
        ("automations", done.automations),
        ("deployments", done.deployments),
    ):
        print_line(name, ", ".join(made))
    OUT.print(f"now start a worker: prefect worker start --pool {wanted.pool}", highlight=False)


def serve(
    values: Values,
    *,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    verbose: Verbose = False,
) -> None:
    """Serve the same deployments from this process, without work pool and worker."""
    wanted = _wanted(values, cron, timezone, None, verbose=verbose)
    from flows.cli.console import OUT
    from flows.service import deployments

    OUT.print("serving retrain, nightly-retrain and predict; press Ctrl-C to stop", highlight=False)
    deployments.serve(wanted)


def _wanted(
    values: Values, cron: str | None, timezone: str, pool: str | None, *, verbose: bool
) -> "Wanted":
    from flows.service.environment import prepare
    from overlap.config.loading import checked

    checked(values)
    prepare(verbose=verbose)
    from flows.service.deployments import Wanted, check_schedule, pools, server_address

    if server_address() is None:
        raise UserError(
            "no Prefect server is configured; start one with `prefect server start` and set "
            "PREFECT_API_URL=http://127.0.0.1:4200/api",
            code="no-server",
        )
    if cron is not None:
        check_schedule(cron, timezone)
    if pool is not None and pool not in pools():
        raise UserError(
            f"--pool {pool}: no such work pool; choose from {', '.join(pools())}",
            code="unknown-pool",
            pool=pool,
            known=pools(),
        )
    from flows.cli.console import print_note
    from flows.service.servers import connect, without_socks

    connect(print_note)
    without_socks()
    wanted = Wanted(config=values, cron=cron, timezone=timezone)
    return wanted if pool is None else replace(wanted, pool=pool)
