"""The command `view`, which serves the web page of a workspace."""

import os
from typing import Annotated

import typer

from flows.cli.options import WorkspaceOption

DEFAULT_PORT = 4300
STOPPED = "stopped: the page is no longer served"
"""Final message after Ctrl-C."""


def register(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command()(view)


def view(
    *,
    workspace: WorkspaceOption = "workspace",
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. Others than loopback need a token in OVERLAP_VIEW_TOKEN."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port to listen on; 0: a free one.")
    ] = DEFAULT_PORT,
    base_url: Annotated[
        str | None,
        typer.Option(
            help="Address under which a proxy publishes the page, such as https://HOST/.",
            show_default="none",
        ),
    ] = None,
) -> None:
    """Serve a read-only web page of a workspace: champion, runs, members in training, versions.

    The page needs neither a Prefect server nor a cluster, and may start before the workspace
    exists.
    """
    from flows.service.environment import prepare

    prepare(verbose=False)
    # The champion predicts on the processor: trainings need the whole accelerator.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    from flows.cli import interruptions
    from flows.cli.console import OUT
    from overlap.io.location import Location
    from overlap.view.server import run_server
    from overlap.view.settings import TOKEN_VARIABLE, ViewSettings

    token = os.environ.get(TOKEN_VARIABLE) or None
    settings = ViewSettings(host, port, token, base_url)

    def show(address: str) -> None:
        OUT.print(f"showing {workspace} at {address}; press Ctrl-C to stop", highlight=False)

    interruptions.set_final_message(STOPPED)
    run_server(Location.of(workspace), settings, show)
