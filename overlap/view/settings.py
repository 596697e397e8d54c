"""Settings of the web server: where it listens, who may ask, and how large requests may be."""

import ipaddress
from dataclasses import dataclass
from typing import Final
from urllib.parse import urlsplit

from overlap.errors import UserError

TOKEN_VARIABLE: Final = "OVERLAP_VIEW_TOKEN"  # noqa: S105  the name of a variable
"""Environment variable with the token."""
SHORTEST_TOKEN: Final = 16
"""Minimum length of the token, characters."""
LOOPBACK_NAMES: Final = ("localhost", "127.0.0.1", "::1")


@dataclass(frozen=True)
class Limits:
    """Limits of a request for a prediction."""

    clips: int = 64
    """Clips per request."""
    body_bytes: int = 64 << 20
    """Bytes per request."""
    buffered_bytes: int = 256 << 20
    """Bytes of all requests that are being read or decoded."""
    body_seconds: float = 30.0
    """Time in which a client must have sent its request, s."""
    waiting_clips: int = 1024
    """Clips that wait for a prediction, of all requests."""


@dataclass(frozen=True)
class ViewSettings:
    """Settings of one server."""

    host: str = "127.0.0.1"
    port: int = 4300
    token: str | None = None
    """Clients must send it; None: no token is required."""
    base_url: str | None = None
    """Address under which a proxy publishes the page; None: there is no proxy."""
    limits: Limits = Limits()

    @property
    def is_loopback(self) -> bool:
        """Whether only processes of this machine can connect."""
        return is_loopback(self.host)

    @property
    def prefix(self) -> str:
        """Path in front of all links, without a final slash."""
        return urlsplit(self.base_url).path.rstrip("/") if self.base_url else ""

    @property
    def secure(self) -> bool:
        """Whether browsers reach the page through HTTPS only."""
        return bool(self.base_url) and urlsplit(self.base_url).scheme == "https"

    @property
    def known_hosts(self) -> frozenset[str]:
        """Names by which the page may be addressed while it listens on loopback."""
        own = urlsplit(self.base_url).hostname if self.base_url else None
        return frozenset({*LOOPBACK_NAMES, self.host, *([own] if own else ())})

    def check(self) -> None:
        """Raise an error if the settings are unsafe or invalid.

        Raises:
            UserError: Another host than loopback has no token (`token-required`), the token is
                too short (`token-too-short`), or the base URL is not an HTTP address
                (`invalid-base-url`).
        """
        if self.base_url is not None:
            parts = urlsplit(self.base_url)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.query:
                raise UserError(
                    f"--base-url {self.base_url}: give an address such as "
                    "https://overlap.example.org or https://example.org/overlap",
                    code="invalid-base-url",
                    base_url=self.base_url,
                )
        if self.token is None and not self.is_loopback:
            raise UserError(
                f"--host {self.host}: other machines can connect to this address, so a token is "
                f"required; set {TOKEN_VARIABLE} to at least {SHORTEST_TOKEN} random characters "
                "(python -c 'import secrets; print(secrets.token_urlsafe())')",
                code="token-required",
                host=self.host,
            )
        if self.token is not None and len(self.token) < SHORTEST_TOKEN:
            raise UserError(
                f"{TOKEN_VARIABLE}: has fewer than {SHORTEST_TOKEN} characters; choose a longer "
                "random token",
                code="token-too-short",
                least=SHORTEST_TOKEN,
            )


def is_loopback(host: str) -> bool:
    """Return whether a host name or address is reachable from this machine only.

    Examples:
        >>> is_loopback("localhost"), is_loopback("127.0.0.2"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
