"""The commands for deployments on a Prefect server: deploy, serve."""

from contextlib import nullcontext
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Annotated

import typer

from flows.cli.commands.view import DEFAULT_PORT
from flows.cli.options import Json, Values, Verbose, with_run_options
from overlap.errors import ConfigError, UserError

if TYPE_CHECKING:
    from flows.service.deployments import Wanted

VIEW_URL = f"http://127.0.0.1:{DEFAULT_PORT}"
Cron = Annotated[
    str | None,
    typer.Option(help="Schedule of the retraining, such as '0 2 * * *'.", show_default="inactive"),
]
Timezone = Annotated[str, typer.Option(help="Time zone of the schedule, such as Europe/Berlin.")]
Pool = Annotated[
    str, typer.Option(help="Work pool: overlap-process, overlap-docker or overlap-kubernetes.")
]
Notify = Annotated[
    list[str] | None,
    typer.Option(
        metavar="KIND=ADDRESS",
        help="Receiver of messages: slack=https://…, webhook=https://… or "
        "email=smtp://HOST?from=A&to=B; env:NAME reads the address from an environment variable. "
        "Can be repeated; the server keeps only these receivers. none: no messages.",
        show_default="unchanged",
    ),
]
Silence = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="HOURS",
        help="Send a message when no retraining has succeeded for this time; 0: never.",
        show_default="longest pause of --cron and two hours",
    ),
]
View = Annotated[
    bool,
    typer.Option(
        "--view/--no-view",
        help=f"Also serve the web page of the workspace at {VIEW_URL} (`overlap view`).",
    ),
]


def register(app: typer.Typer) -> None:
    """Add the commands of this module."""
    app.command()(with_run_options(deploy))
    app.command()(with_run_options(serve))


def deploy(  # noqa: PLR0913  one parameter per option
    values: Values,
    *,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    pool: Pool = "overlap-process",
    notify: Notify = None,
    notify_silence: Silence = None,
    as_json: Json = False,
    verbose: Verbose = False,
) -> None:
    """Create work pools, deployments and automations on the server at PREFECT_API_URL.

    The given options become defaults of the form in the UI and parameters of the scheduled run.
    Without --notify the receivers of messages stay as they are.
    """
    wanted = _with_receivers(
        _wanted(values, cron, timezone, pool, verbose=verbose), notify, notify_silence
    )
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
        ("messages to", done.receivers),
    ):
        if made is not None:
            print_line(name, ", ".join(made) or "none")
    OUT.print(f"now start a worker: prefect worker start --pool {wanted.pool}", highlight=False)


def serve(
    values: Values,
    *,
    cron: Cron = None,
    timezone: Timezone = "UTC",
    notify: Notify = None,
    notify_silence: Silence = None,
    view: View = False,
    verbose: Verbose = False,
) -> None:
    """Serve the same deployments from this process, without work pool and worker.

    Without --notify the receivers of messages stay as they are.
    """
    from overlap.config.loading import checked
    from overlap.config.presets import merged

    if view:  # links in Prefect lead to the page, unless another address is given
        values = merged({"view": {"url": VIEW_URL}}, values)
    wanted = _with_receivers(
        _wanted(values, cron, timezone, None, verbose=verbose), notify, notify_silence
    )
    from flows.cli.console import OUT
    from flows.service import deployments
    from flows.service.view_process import shown

    OUT.print("serving retrain, nightly-retrain and predict; press Ctrl-C to stop", highlight=False)
    with shown(checked(values).workspace) if view else nullcontext():
        deployments.serve(wanted)


def _with_receivers(
    wanted: "Wanted", notify: list[str] | None, silence_hours: float | None
) -> "Wanted":
    """Add the receivers of messages.

    Raises:
        ConfigError: an option is invalid, or there is a limit but no receiver.
    """
    if not notify:
        if silence_hours is not None:
            raise ConfigError(
                "--notify-silence needs receivers: add --notify KIND=ADDRESS", code="no-receiver"
            )
        return wanted
    from flows.service.notifications import longest_pause_hours
    from flows.service.receivers import parse_receivers

    receivers = parse_receivers(notify)
    if silence_hours is None and wanted.cron is not None:
        silence_hours = longest_pause_hours(wanted.cron, wanted.timezone)
    return replace(wanted, receivers=receivers, silence_hours=silence_hours or None)


def _wanted(
    values: Values, cron: str | None, timezone: str, pool: str | None, *, verbose: bool
) -> "Wanted":
    from flows.service.environment import prepare
    from overlap.config.loading import checked

    config = checked(values)
    if config.notify.webhook is not None and config.notify.variable is None:
        raise ConfigError(
            "notify.webhook: the parameters of a deployment are stored and shown by the server; "
            "use notify.webhook=env:NAME, or the option --notify",
            code="secret-in-deployment",
            key="notify.webhook",
        )
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
