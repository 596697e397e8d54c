"""Runs the web server in this process until it is stopped."""

import socket
from collections.abc import Callable
from types import FrameType
from typing import Final

import uvicorn

from overlap.errors import UserError
from overlap.io.location import Location
from overlap.view.application import ViewApplication, create_application
from overlap.view.settings import ViewSettings

SHUTDOWN_SECONDS: Final = 5
"""Time that open requests have to end."""
HEADER_BYTES: Final = 16 << 10
"""Largest request line with headers."""
WAITING_CONNECTIONS: Final = 1024


def run_server(
    workspace: Location, settings: ViewSettings, on_start: Callable[[str], None]
) -> None:
    """Serve a workspace until SIGINT or SIGTERM.

    Args:
        workspace: The workspace; it may not exist yet.
        settings: Settings of the server.
        on_start: Receives the address when the port is open.

    Raises:
        UserError: The settings are unsafe, or the port cannot be opened (`port-not-available`).
    """
    settings.check()
    opened = open_port(settings)
    with opened:
        port = opened.getsockname()[1]
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        app = create_application(workspace, settings)
        opened.listen(WAITING_CONNECTIONS)  # requests wait until the server accepts them
        on_start(settings.base_url or f"http://{host}:{port}")
        config = uvicorn.Config(
            app,
            http="h11", ws="none", lifespan="on", log_level="warning", access_log=False,
            server_header=False, timeout_graceful_shutdown=SHUTDOWN_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES, backlog=WAITING_CONNECTIONS,
        )  # fmt: skip
        _Server(config, app).run(sockets=[opened])


class _Server(uvicorn.Server):
    """Ends the streams of events at the first signal; uvicorn waits for open connections."""

    def __init__(self, config: uvicorn.Config, app: ViewApplication) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to stop."""
        self._app.end_streams()
        super().handle_exit(sig, frame)


def open_port(settings: ViewSettings) -> socket.socket:
    """Open the port of a server; 0 takes a free one.

    Raises:
        UserError: It is in use, or the host has no such address.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        opened = socket.socket(family, kind, protocol)
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            opened.bind(address)
        except BaseException:
            opened.close()
            raise
    except OSError as error:
        raise UserError(
            f"--host {settings.host} --port {settings.port}: cannot be opened: "
            f"{error.strerror or error}; choose another port",
            code="port-not-available",
            host=settings.host,
            port=settings.port,
        ) from None
    return opened
