"""Settings that Prefect reads when it is imported.

Variables that are set already keep their values. No outside host is called: the analytics of
Prefect's server are off, and so is its newer UI, which calls an outside host even without them.
"""

import importlib
import logging
import os
import ssl
import tempfile
import warnings
from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

from overlap.catalog.problems import DataWarning
from overlap.system.user_folders import has_home, is_private, temporary_folder

QUIET_HOSTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_V2_ENABLED": "false",
    "PREFECT_CLOUD_ENABLE_ORCHESTRATION_TELEMETRY": "false",
}
HEARTBEAT = {"PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30"}
"""Interval of heartbeats to the server, seconds; see deployments/automations.yaml."""
EPHEMERAL: Final = "PREFECT_SERVER_EPHEMERAL_ENABLED"
EPHEMERAL_OLD: Final = "PREFECT_SERVER_ALLOW_EPHEMERAL_MODE"
"""Former name of `EPHEMERAL`, which Prefect still reads."""
EMBEDDED_API = {
    EPHEMERAL: "true",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
}
SETTINGS_FILES: Final = (".env", "prefect.toml", "pyproject.toml")
"""Files of the current folder that Prefect reads settings from."""
CERTIFICATES: Final = "SSL_CERT_FILE"
LOOPBACK_HOSTS: Final = ("localhost", "127.0.0.1", "::1")
NO_PROXY: Final = ("no_proxy", "NO_PROXY")
PROXIES: Final = ("http_proxy", "https_proxy", "all_proxy")
"""In lower case; programs read both spellings."""


def prepare(*, verbose: bool) -> None:
    """Set the environment; must be called before the first import of Prefect.

    Args:
        verbose: Whether the logs of Prefect and Dask are shown in the terminal. They reach the
            Prefect API in any case.
    """
    level = "INFO" if verbose else "CRITICAL"
    quiet = {
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": level,
        "PREFECT_SERVER_LOGGING_LEVEL": "WARNING" if verbose else "CRITICAL",
    }
    if EPHEMERAL_OLD in os.environ:  # Prefect prefers the other name, which is set below
        os.environ.setdefault(EPHEMERAL, os.environ[EPHEMERAL_OLD])
    for name, value in (QUIET_HOSTS | HEARTBEAT | EMBEDDED_API | quiet).items():
        os.environ.setdefault(name, value)
    os.environ.update(loopback_without_proxy(os.environ))
    if not has_home():  # Prefect cannot be imported without one, not even with PREFECT_HOME
        folder = temporary_folder()
        usable = is_private(folder)
        os.environ["HOME"] = str(folder) if usable else tempfile.mkdtemp(prefix="overlap-home-")
    if certificates_fault(os.environ.get(CERTIFICATES)):
        _import_without_certificates()
    if not verbose:
        logging.getLogger("distributed").setLevel(logging.CRITICAL)
        warnings.simplefilter("ignore")
        warnings.simplefilter(
            "default", DataWarning
        )  # notes for the user, as `overlap plan` prints


def loopback_without_proxy(variables: Mapping[str, str]) -> dict[str, str]:
    """Return the variables NO_PROXY that exclude the loopback interface from proxies.

    Brackets around an IPv6 address are removed, because httpx, which Prefect uses, raises on them.

    Examples:
        >>> loopback_without_proxy({"NO_PROXY": "a.org,[::1]", "HTTP_PROXY": "http://p:1"})
        ... # doctest: +NORMALIZE_WHITESPACE
        {'no_proxy': 'a.org,::1,localhost,127.0.0.1',
         'NO_PROXY': 'a.org,::1,localhost,127.0.0.1'}
        >>> loopback_without_proxy({})
        {}
    """
    if not any(variables.get(name) for name in (*proxy_variables(variables), *NO_PROXY)):
        return {}
    given = [variables.get(name, "") for name in NO_PROXY]
    found = {}
    for name, value, other in zip(NO_PROXY, given, reversed(given), strict=True):
        entries = [entry.strip() for entry in (value or other).split(",") if entry.strip()]
        entries = [e[1:-1] if e.startswith("[") and e.endswith("]") else e for e in entries]
        if "*" not in entries:
            entries += [host for host in LOOPBACK_HOSTS if host not in entries]
        found[name] = ",".join(entries)
    return found


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine.

    Examples:
        >>> is_loopback("http://127.0.0.1:4200/api"), is_loopback("https://prefect.example/api")
        (True, False)
    """
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:  # such as "http://[::1"
        return False
    return host in LOOPBACK_HOSTS or host.startswith("127.")


def proxy_variables(variables: Mapping[str, str]) -> list[str]:
    """Return the names of the variables that configure a proxy, in both spellings."""
    return [name for name in variables if name.lower() in PROXIES]


def certificates_fault(file: str | None) -> str | None:
    """Return why a file of certificates cannot be read, or None."""
    if not file:
        return None
    try:
        ssl.create_default_context(cafile=file)
    except OSError as error:  # includes SSLError
        return error.strerror or str(error)
    return None


def _import_without_certificates() -> None:
    """Import Prefect, which reads the file of certificates on import, without the variable.

    Only connections to https:// need the certificates, and those report the unreadable file.
    """
    hidden = os.environ.pop(CERTIFICATES)
    try:
        importlib.import_module("prefect.context")
    finally:
        os.environ[CERTIFICATES] = hidden
