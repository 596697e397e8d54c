"""Starts the embedded Prefect server: a process with an environment of its own.

Prefect would pass on every variable of the user and wait two minutes for a server that has ended.
Here settings of servers, proxies, certificates and of other programs do not reach the process, and
the message about one that ends quotes its output. The server may be launched early, so that it
starts while this process imports the flow.
"""

import atexit
import http.client
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Final

from flows.service.embedded_process import HOST
from flows.service.embedded_storage import EmbeddedStorage
from flows.service.environment import QUIET_HOSTS
from overlap.errors import RESUME_HINT, UserError
from overlap.io.formatting import format_exit
from overlap.system.import_path import child_environment
from overlap.system.signals import block_sigint

COMMAND: Final = ("-m", "flows.service.embedded_process")
NOT_USED: Final = {
    "PREFECT_UI_ENABLED": "0",
    # Block types store credentials; no flow of overlap uses one. Their registration imports every
    # installed integration of Prefect. `prefect server start` makes up for it.
    "PREFECT_SERVER_REGISTER_BLOCKS_ON_START": "false",
    "PREFECT_SERVER_MEMOIZE_BLOCK_AUTO_REGISTRATION": "false",
}
"""Settings of parts of a server that no command uses."""
KEPT: Final = re.compile(
    r"PATH|HOME|USER|LOGNAME|LANG|LANGUAGE|LC_\w+|TZ|TZDIR|TMPDIR|TMP|TEMP|LD_\w+|DYLD_\w+|"
    r"VIRTUAL_ENV|CONDA_PREFIX|XDG_\w+|"
    r"PYTHON(PATH|HOME|UTF8|USERBASE|NOUSERSITE|PYCACHEPREFIX|DONTWRITEBYTECODE|SAFEPATH|HASHSEED)"
)
"""Variables that the server keeps. Others of the user configure servers, proxies or programs."""
PACKAGES: Final = ("overlap", "flows")
"""Packages of this installation that the process imports."""
ATTEMPTS: Final = 5
"""Ports that are tried; another program may take one between its choice and its use."""
POLL_SECONDS: Final = 0.05
LINES: Final = 200
"""Last lines of output that are kept."""
NAMED_ERROR: Final = re.compile(r"[A-Za-z_][\w.]*(Error|Exception|Exit|Interrupt)\b.*")
REMEDY: Final = (
    "correct the cause, or set PREFECT_API_URL to a running server (`prefect server start`)"
)


class ServerProcess:
    """A starting server and the end of its output.

    Attributes:
        storage: Its home and database.
        port: Its port on the loopback interface.
        ready: Whether it has answered.
    """

    def __init__(self, storage: EmbeddedStorage, port: int, level: str) -> None:
        self.storage, self.port, self.ready, self._stopped = storage, port, False, False
        command = [*COMMAND, "--port", str(port)]
        with block_sigint():
            self.process = subprocess.Popen(
                [sys.executable, *command], cwd=storage.home,
                env=server_environment(os.environ, storage, level),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                encoding="utf-8", errors="replace",
            )  # fmt: skip
            self._tail: deque[str] = deque(maxlen=LINES)
            shown = sys.stderr if level != "CRITICAL" else None
            self._reader = threading.Thread(
                target=_drain, args=(self.process.stdout, self._tail, shown), daemon=True
            )
            self._reader.start()

    def ended(self) -> bool:
        """Return whether the process has ended; its output is complete then."""
        if self.process.poll() is None:
            return False
        self._reader.join(timeout=1)
        return True

    def answers(self) -> bool:
        """Return whether the API is ready."""
        # http.client reads neither proxies nor certificates from the environment.
        with closing(http.client.HTTPConnection(HOST, self.port, timeout=2)) as connection:
            try:
                connection.request("GET", "/api/health")
                self.ready = connection.getresponse().status == http.HTTPStatus.OK
            except (OSError, http.client.HTTPException):
                return False
        return self.ready

    def output(self) -> str:
        """Return the last lines of output."""
        return "".join(self._tail)

    def fault(self) -> str | None:
        """Return how the process ended without `stop`, and its last error; None: neither."""
        line = cause(self.output(), named_only=True)
        if self._stopped or not self.ended():
            return line
        code = self.process.returncode
        ended = f"it ended with {format_exit(code)}"
        return f"{ended}: {line}" if line else ended

    def watch(self, warn: Callable[[str], None], lost: Callable[[str], None] | None) -> None:
        """Tell the user and the caller at once if the process ends without `stop`."""

        def wait() -> None:
            self.process.wait()
            if not self._stopped:
                message = f"the embedded Prefect server is gone ({self.fault()}); {RESUME_HINT}"
                warn(message)
                if lost is not None:
                    lost(f"{message} [server-unreachable]")

        threading.Thread(target=wait, daemon=True).start()

    def stop(self) -> None:
        """End the process; one that has not answered yet has nothing to finish."""
        self._stopped = True
        if self.ready:
            self.process.terminate()
        else:
            self.process.kill()
        try:
            self.process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._reader.join(timeout=1)


def launch(storage: EmbeddedStorage) -> None:
    """Launch a server without waiting for it; `start` with the same storage uses it."""
    _launched.append(_new(storage))


def start(
    storage: EmbeddedStorage,
    timeout_s: float,
    warn: Callable[[str], None],
    lost: Callable[[str], None] | None = None,
) -> str:
    """Wait for the server that was launched, or for a new one; it ends with this process.

    Args:
        storage: Its home and database.
        timeout_s: Time within which it must answer.
        warn: Prints one line for the user.
        lost: Called in another thread with a message if the server ends before this process.

    Returns:
        The address of its API.

    Raises:
        UserError: it ends, or does not answer; the message quotes its output.
    """
    from tasks.progress import QUIET_SECONDS

    began, warned = time.monotonic(), False
    for _ in range(ATTEMPTS):
        server = _taken(storage) or _new(storage)
        while not server.ended():
            if server.answers():
                address = f"http://{HOST}:{server.port}/api"
                _used[address] = server
                server.watch(warn, lost)
                return address
            waited = time.monotonic() - began
            if waited > timeout_s:
                raise UserError(
                    f"the embedded Prefect server does not answer within {timeout_s:g} s"
                    f"{_quoted(server.output())}; {REMEDY}",
                    code="embedded-server-failed",
                    seconds=timeout_s,
                )
            if waited > QUIET_SECONDS and not warned:
                warned = True
                warn(f"waiting for the embedded Prefect server, up to {timeout_s:g} s")
            time.sleep(POLL_SECONDS)
        if "address already in use" not in server.output():
            break
    raise UserError(
        f"the embedded Prefect server does not start{_quoted(server.output())}; {REMEDY}",
        code="embedded-server-failed",
        status=server.process.returncode,
    )


def is_embedded(address: str | None) -> bool:
    """Return whether an address is that of an embedded server of this process."""
    return address in _used


def fault_of(address: str) -> str | None:
    """Return why an embedded server of this process no longer works; None: nothing is known."""
    return _used[address].fault()


_used: dict[str, ServerProcess] = {}
"""Servers that have answered, by address."""
_launched: list[ServerProcess] = []
"""Servers that were launched and that nobody has waited for."""


def _new(storage: EmbeddedStorage) -> ServerProcess:
    """Launch a server, which ends with this process."""
    server = ServerProcess(storage, _free_port(), _level())
    atexit.register(server.stop)
    return server


def _taken(storage: EmbeddedStorage) -> ServerProcess | None:
    """Return the launched server of a storage; servers of other storages are not needed."""
    found = None
    while _launched:
        server = _launched.pop()
        if server.storage == storage and found is None:
            found = server
        else:
            server.stop()
    return found


def server_environment(
    variables: Mapping[str, str], storage: EmbeddedStorage, level: str
) -> dict[str, str]:
    """Return the environment of the server.

    Args:
        variables: The environment of this process.
        storage: Home and database.
        level: Level of its log; errors are always written, for `ServerProcess.output`.
    """
    kept = child_environment(
        {n: value for n, value in variables.items() if KEPT.fullmatch(n)}, PACKAGES
    )
    shown = "ERROR" if level == "CRITICAL" else level
    return (
        kept
        | QUIET_HOSTS
        | NOT_USED
        | {
            "PREFECT_HOME": str(storage.home),
            "PREFECT_PROFILES_PATH": str(installed_profiles()),
            "PREFECT_SERVER_DATABASE_CONNECTION_URL": storage.database,
            "PREFECT_SERVER_DATABASE_MIGRATE_ON_START": str(storage.migrate).lower(),
            "PREFECT_SERVER_LOGGING_LEVEL": shown,
            "PREFECT_LOGGING_LEVEL": shown,
            "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": shown,
            "PREFECT_LOGGING_COLORS": "false",
            "PREFECT__SERVER_EPHEMERAL": "1",
            "PREFECT__SERVER_FINAL": "1",
        }
    )


def installed_profiles() -> Path:
    """Return the profiles that Prefect brings along; found without importing it."""
    spec = find_spec("prefect")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("prefect is not installed", name="prefect")
    return Path(spec.origin).parent / "settings" / "profiles.toml"


def cause(output: str, *, named_only: bool = False) -> str | None:
    r"""Return the line of a server's output that names the error, or None.

    Args:
        output: The output.
        named_only: Whether the last line does not stand for a missing name of an error.

    Examples:
        >>> cause("Traceback\n  File x\nOSError: disk full\n\nApplication startup failed\n")
        'OSError: disk full'
    """
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    named = [line for line in lines if NAMED_ERROR.fullmatch(line)]
    return next(reversed(named if named_only else named or lines), None)


def _quoted(output: str) -> str:
    line = cause(output)
    return f" ({line})" if line else ""


def _drain(pipe: IO[str] | None, tail: deque[str], shown: IO[str] | None) -> None:
    if pipe is None:
        return
    with pipe:
        for line in pipe:
            tail.append(line)
            if shown is not None:
                shown.write(line)


def _level() -> str:
    """Return the level of the server's log that the user wants to see."""
    return os.environ.get("PREFECT_SERVER_LOGGING_LEVEL", "CRITICAL").upper()


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])
