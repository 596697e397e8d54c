"""Starts the embedded server before the command itself is imported.

Importing a command, Prefect and a flow takes as long as the start of the server; both happen at the
same time on a machine with two processors.
"""

from collections.abc import Sequence
from typing import Final

FLOW_COMMANDS: Final = ("run", "features", "train", "pool", "predict")
"""Commands that run a flow at once."""


def runs_flow(words: Sequence[str]) -> bool:
    """Return whether a command line probably runs a flow.

    Args:
        words: The arguments of `overlap`. With logs in the terminal the answer is no, because their
            level is set later.

    Examples:
        >>> runs_flow(["--no-color", "run", "--data", "d"]), runs_flow(["run", "--help"])
        (True, False)
    """
    command = next((word for word in words if not word.startswith("-")), None)
    return command in FLOW_COMMANDS and not {"--help", "-v", "--verbose"} & {*words}


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
