"""The Prefect server of a command: checks the configured one, or starts the embedded one."""

import importlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partialmethod
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final

from flows.service import embedded_server
from flows.service.embedded_server import is_embedded
from flows.service.embedded_storage import (
    EmbeddedStorage,
    embedded_storage,
    folder_fault,
)
from flows.service.environment import (
    CERTIFICATES,
    EPHEMERAL,
    certificates_fault,
    is_loopback,
    proxy_variables,
)
from flows.service.server_errors import (
    REFUSALS,
    no_api,
    not_answering,
    password_required,
    wrong_proxy,
    wrong_version,
)
from overlap.errors import UserError

if TYPE_CHECKING:
    from prefect.settings import Settings

REQUEST_SECONDS: Final = 4.0
"""Time for one answer of a configured server."""
NOTICE_SECONDS: Final = 1.5
"""Time without an answer after which the wait is reported."""
START_SECONDS: Final = 30.0
"""How long the command waits for a configured server that is busy or starting."""
BUSY: Final = (429, 502, 503, 504)
"""HTTP status of such a server."""
ON_FIRST_RUN: Final = (
    *("prefect.flow_engine", "prefect.task_engine", "prefect.utilities.visualization"),
    "fastapi.encoders",
)
"""Modules that Prefect imports when the first flow runs: imported while its server starts."""


@contextmanager
def connected(
    warn: Callable[[str], None], lost: Callable[[str], None] | None = None
) -> Iterator[None]:
    """Connect to the server as `connect` does, and run flows within the block.

    Nothing watches the heartbeats of a flow on an embedded server, which ends with the flow, and
    Prefect waits at the end of every flow for the thread that sends them, half a second.
    """
    for name in ON_FIRST_RUN:
        with suppress(ImportError):  # a later Prefect may have other modules
            importlib.import_module(name)
    connect(warn, lost)
    from prefect.settings import (
        PREFECT_API_URL,
        PREFECT_FLOWS_HEARTBEAT_FREQUENCY,
        temporary_settings,
    )

    embedded = is_embedded(PREFECT_API_URL.value())
    with temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None} if embedded else {}):
        yield


def connect(warn: Callable[[str], None], lost: Callable[[str], None] | None = None) -> None:
    """Check the configured server; without one, start the embedded server.

    The embedded server is shielded from Ctrl-C and ends with this process. If the terminal's signal
    ended it first, the final states and logs of a run would be lost.

    Args:
        warn: Prints one line for the user.
        lost: Called in another thread with a message if an embedded server ends before this
            process; None: only `warn` is.

    Raises:
        UserError: the server does not answer, does not start, or is not one of this Prefect.
    """
    from prefect.settings import PREFECT_API_URL

    if url := PREFECT_API_URL.value():
        if is_embedded(url):
            return
        if is_loopback(url):
            connect_directly()
            if url.startswith("http://"):
                _apply(_without_certificates())
        _check(url, warn)
        return
    _start_embedded(warn, lost)


def connect_directly() -> None:
    """Let Prefect's clients of this process ignore proxies and certificates of the environment.

    httpx creates a connection pool for every proxy variable, even if NO_PROXY excludes the address;
    SOCKS proxies and some entries of NO_PROXY then raise. Prefect has no setting for it, and it
    creates its clients itself.
    """
    from prefect.client import base

    for kind in (base.PrefectHttpxSyncClient, base.PrefectHttpxAsyncClient):
        if not isinstance(vars(kind).get("__init__"), partialmethod):
            kind.__init__ = partialmethod(kind.__init__, trust_env=False)  # type: ignore[assignment]


def without_socks() -> None:
    """Remove SOCKS proxies for the processes of flow runs and of `prefect deploy`.

    Only for a server on this machine: httpx, which they use, raises on such a proxy unless an
    optional package is installed, even if NO_PROXY excludes the address.
    """
    from prefect.settings import PREFECT_API_URL

    if is_loopback(PREFECT_API_URL.value() or "") and find_spec("socksio") is None:
        for name in proxy_variables(os.environ):
            if os.environ[name].lower().startswith("socks"):
                del os.environ[name]


def _start_embedded(warn: Callable[[str], None], lost: Callable[[str], None] | None) -> None:
    from prefect.settings import get_current_settings

    settings = get_current_settings()
    if not settings.server.ephemeral.enabled:
        raise UserError(
            f"{EPHEMERAL}=false forbids the embedded Prefect server, and PREFECT_API_URL names no "
            f"other; unset {EPHEMERAL}, or set PREFECT_API_URL to a running server "
            "(`prefect server start`)",
            code="no-server",
        )
    storage = _storage(settings)
    changed = _without_certificates()
    if storage.reason is not None:
        warn(f"{storage.reason}; the embedded Prefect server uses {storage.home}")
        if folder_fault(settings.home):  # results of tasks may be stored there, too
            changed["PREFECT_HOME"] = str(storage.home)
            changed["PREFECT_PROFILES_PATH"] = str(settings.profiles_path)
    timeout = settings.server.ephemeral.startup_timeout_seconds
    address = embedded_server.start(storage, timeout, warn, lost)
    # With an address, Prefect's clients do not import the server to look for one.
    _apply(changed | {"PREFECT_API_URL": address})
    connect_directly()


def _storage(settings: "Settings") -> EmbeddedStorage:
    secret = settings.server.database.connection_url
    usual = f"sqlite+aiosqlite:///{settings.home}/prefect.db"
    return embedded_storage(settings.home, secret.get_secret_value() if secret else usual)


def _without_certificates() -> dict[str, str]:
    """Return settings for an address of http://, where a missing file of certificates is no fault.

    Prefect's clients read the file before they connect.
    """
    from prefect.settings import PREFECT_API_SSL_CERT_FILE

    if not certificates_fault(PREFECT_API_SSL_CERT_FILE.value()):
        return {}
    import certifi

    return {"PREFECT_API_SSL_CERT_FILE": certifi.where()}


def _apply(settings: dict[str, str]) -> None:
    """Change settings of Prefect for this process and those that it starts."""
    if settings:
        from prefect.context import refresh_global_settings_context

        os.environ.update(settings)
        refresh_global_settings_context()


def _check(url: str, warn: Callable[[str], None]) -> None:
    """Check that the configured server answers, and is one of this major version of Prefect."""
    from prefect.settings import PREFECT_API_SSL_CERT_FILE

    file = PREFECT_API_SSL_CERT_FILE.value()
    if url.startswith("https://"):
        file = file or os.environ.get(CERTIFICATES)
    if fault := certificates_fault(file):
        raise UserError(
            f"the certificates in {file} cannot be read ({fault}); correct "
            "PREFECT_API_SSL_CERT_FILE or SSL_CERT_FILE, or unset it",
            code="unreadable-certificates",
            path=file,
        )
    until, fault = time.monotonic() + START_SECONDS, "no answer yet"
    notice = threading.Timer(
        NOTICE_SECONDS,
        lambda: warn(f"waiting for the Prefect server {url} ({fault}), up to {START_SECONDS:g} s"),
    )
    notice.start()
    try:
        while (found := _asked(url)) is not None:
            fault = found
            if time.monotonic() > until:
                raise not_answering(url, fault)
            time.sleep(1)
    finally:
        notice.cancel()


def _asked(url: str) -> str | None:
    """Ask a server for its version once.

    Returns:
        Why it may answer later; None: it answered.

    Raises:
        UserError: it cannot be used.
    """
    import httpx
    from prefect import __version__
    from prefect.client.orchestration import get_client
    from prefect.exceptions import PrefectHTTPStatusError
    from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

    try:
        with (
            temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}),
            get_client(sync_client=True, httpx_settings={"timeout": REQUEST_SECONDS}) as client,
        ):
            found = client.api_version()
    except (httpx.TimeoutException, httpx.RemoteProtocolError, httpx.ReadError) as error:
        return str(error) or type(error).__name__
    except PrefectHTTPStatusError as error:
        status = error.response.status_code
        if status in BUSY:
            return f"HTTP status {status}"
        if status in REFUSALS:
            raise password_required(url) from None
        raise no_api(url, f"HTTP status {status}") from None
    except httpx.TransportError as error:  # refused, unknown host, wrong scheme
        raise not_answering(url, str(error) or type(error).__name__) from None
    except (ImportError, httpx.InvalidURL) as error:
        raise wrong_proxy(url, error) from None
    except ValueError as error:  # includes JSONDecodeError
        if "proxy" in str(error).lower():
            raise wrong_proxy(url, error) from None
        raise no_api(url, "its answer is not JSON") from None
    _check_version(url, str(found), __version__)
    return None


def _check_version(url: str, found: str, installed: str) -> None:
    """Raise a `UserError` unless both have the same major version."""
    major = found.partition(".")[0]
    if not major.isdecimal():
        raise no_api(url, f"its version is {found[:40]!r}")
    if major != installed.partition(".")[0]:
        raise wrong_version(url, found, installed)
