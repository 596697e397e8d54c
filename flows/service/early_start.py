"""Starts the embedded server before the command itself is imported, and tries configured ports.

Importing a command, Prefect and a flow takes as long as the start of the server; both happen at the
same time on a machine with two processors.
"""

import os
import socket
from collections.abc import Callable, Sequence
from typing import Final
from urllib.parse import urlsplit

FLOW_COMMANDS: Final = ("features", "train", "pool")
"""Commands that run a flow at once; `run` and `predict` first determine whether they need one."""

WITHOUT_EARLY_START: Final = frozenset({"--help", "-v", "--verbose"})
"""Options of commands that run no flow, or whose server has other settings."""

PORT_SECONDS: Final = 2.0
"""Time for one connection; a slower answer is left to the clients."""
PORTS: Final = {"http": 80, "https": 443}


def runs_flow(words: Sequence[str]) -> bool:
    """Return whether a command line probably runs a flow.

    Args:
        words: The arguments of `overlap`. With logs in the terminal the answer is no, because their
            level is set later.

    Examples:
        >>> runs_flow(["--no-color", "pool", "--data", "d"]), runs_flow(["pool", "--help"])
        (True, False)
    """
    command = next((word for word in words if not word.startswith("-")), None)
    return command in FLOW_COMMANDS and not WITHOUT_EARLY_START & {*words}


def launch() -> None:
    """Launch the embedded server, if a flow probably needs it, without waiting for it.

    `flows.service.servers.connect` reads Prefect's settings, waits, and reports every fault. It
    replaces a server that was launched with other settings.
    """
    from flows.service import embedded_server
    from flows.service.embedded_storage import likely_storage

    storage = likely_storage()
    if storage is not None:
        embedded_server.launch(storage)


def check_ports(scheduler: str | None, warn: Callable[[str], None]) -> None:
    """Try the ports of a configured Prefect server and Dask scheduler, before either is imported.

    Args:
        scheduler: Address of the scheduler, `tcp://host:8786`; None: no other machine computes.
        warn: Prints one line for the user. A scheduler may still be starting.

    Raises:
        UserError: the port of the server at PREFECT_API_URL is closed, or its host is unknown.
    """
    from flows.service.environment import is_loopback, proxy_variables
    from flows.service.server_errors import not_answering

    url = os.environ.get("PREFECT_API_URL", "")
    if (is_loopback(url) or not proxy_variables(os.environ)) and (fault := _port_fault(url)):
        raise not_answering(url, fault)
    if scheduler is not None and (fault := _port_fault(scheduler)):
        warn(f"the Dask scheduler {scheduler} does not answer yet ({fault})")


def _port_fault(address: str) -> str | None:
    """Return why no connection is possible; None: it is, or nobody can tell yet."""
    try:
        parts = urlsplit(address)
        port = parts.port or PORTS.get(parts.scheme)
        if not parts.hostname or port is None:
            return None
        socket.create_connection((parts.hostname, port), PORT_SECONDS).close()
    except (TimeoutError, ValueError):
        return None
    except OSError as error:
        return error.strerror or str(error)
    return None
