"""Errors of Prefect servers that do not answer, refuse the client, or are no Prefect servers."""

import os
from collections.abc import Iterator
from typing import Final

from flows.service.embedded_server import fault_of, is_embedded
from flows.service.environment import NO_PROXY, PROXIES, is_loopback, proxy_variables
from overlap.errors import RESUME_HINT, UserError

REFUSALS: Final = (401, 403)
"""HTTP status of a server that requires another password, or any."""


def not_answering(url: str, reason: str) -> UserError:
    """Return the error about a configured server that does not answer."""
    proxies = ", ".join(proxy_variables(os.environ))
    hint = f"; the connection uses {proxies}" if proxies and not is_loopback(url) else ""
    return UserError(
        f"the Prefect server {url} does not answer ({reason}){hint}; start it, correct "
        "PREFECT_API_URL (the environment or Prefect's profile sets it), or remove it for an "
        f"embedded server; {RESUME_HINT}",
        code="server-unreachable",
        address=url,
    )


def password_required(url: str) -> UserError:
    """Return the error about a server that answers with a status of `REFUSALS`."""
    return UserError(
        f"the Prefect server {url} requires a password: set "
        "PREFECT_API_AUTH_STRING=USER:PASSWORD as on the server",
        code="password-required",
        address=url,
    )


def no_api(url: str, reason: str) -> UserError:
    """Return the error about a server that answers, but not as a Prefect server does."""
    return UserError(
        f"{url} answers, but is not a Prefect API ({reason}): another service or a proxy answers; "
        "correct PREFECT_API_URL, which usually ends in /api, or a proxy on the way",
        code="no-prefect-api",
        address=url,
    )


def wrong_version(url: str, found: str, installed: str) -> UserError:
    """Return the error about a server of another major version than the installed Prefect."""
    return UserError(
        f"the Prefect server {url} has version {found}, and the installed Prefect "
        f"{installed}: the major versions must be equal; set PREFECT_API_URL to another "
        "server, or unset it for an embedded one",
        code="server-version",
        address=url,
        version=found,
    )


def wrong_proxy(url: str, error: Exception) -> UserError:
    """Return the error about variables of proxies that httpx cannot use."""
    names = [*proxy_variables(os.environ), *(name for name in NO_PROXY if name in os.environ)]
    return UserError(
        f"no connection to the Prefect server {url}: {', '.join(names) or ', '.join(PROXIES)}: "
        f"{error}; correct these variables, add the server to NO_PROXY, or for a SOCKS proxy "
        "install httpx[socks]",
        code="unusable-proxy",
        address=url,
    )


def unreachable(error: BaseException) -> str | None:
    """Return the message if a Prefect server that stopped answering caused an error; else None."""
    for cause in _causes(error):
        # Only Prefect uses httpx.
        if type(cause).__module__.startswith("httpx") and not _refuses(cause):
            from prefect.settings import PREFECT_API_URL

            url, reason = PREFECT_API_URL.value(), str(cause) or type(cause).__name__
            where = url or "embedded in this run"
            if url and is_embedded(url):
                where, reason = "embedded in this run", fault_of(url) or reason
            return f"the Prefect server {where} does not answer ({reason}); {RESUME_HINT}"
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _refuses(error: BaseException) -> bool:
    """Return whether the server answered that the request was wrong."""
    response = getattr(error, "response", None)
    return response is not None and response.status_code < 500
