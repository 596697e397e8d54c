"""Security of every response: host names, the token, requests of other sites, and headers.

The guard is an ASGI application around the whole server, so that no route can forget it.

- While the server listens on loopback, a request must name a known host: otherwise a foreign page
  whose name is made to point to 127.0.0.1 (DNS rebinding) could read everything.
- With a token, a request needs `Authorization: Bearer TOKEN`, or the cookie that `/login` sets. The
  cookie contains a value derived from the token, so it cannot be used as the token.
- A browser's request that another site has caused is refused, except for links.
"""

import hashlib
import hmac
import json
from http.cookies import CookieError, SimpleCookie
from typing import Final
from urllib.parse import quote, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from overlap.view.settings import ViewSettings

COOKIE: Final = "overlap_view"
OPEN_PATHS: Final = ("/healthz", "/login", "/static/")
"""Paths that need no token: they contain nothing of the workspace."""
POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; "
    "media-src 'self' blob:; connect-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
"""Content security policy: no inline scripts or styles, no other hosts."""
HEADERS: Final = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=(), payment=()",
    "cache-control": "no-store",
}
"""Headers of every response that does not set its own."""


class Guard:
    """Refuses requests that may not be answered, and adds headers to all answers.

    Args:
        app: The server's application.
        settings: Its settings.
    """

    def __init__(self, app: ASGIApp, settings: ViewSettings) -> None:
        self._app, self._settings = app, settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        answer = self._refusal(scope) or self._app
        await answer(scope, receive, send_with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        """Return the answer to a request that may not reach the application, or None."""
        headers, path = Headers(scope=scope), scope["path"]
        host = host_name(headers.get("host", ""))
        if self._settings.is_loopback and host not in self._settings.known_hosts:
            return problem(
                421,
                "unknown-host",
                "this server does not answer for this host name; see --base-url",
            )
        if _from_another_site(scope["method"], headers):
            return problem(403, "cross-site", "requests from pages of other sites are refused")
        token = self._settings.token
        if token is None or path.startswith(OPEN_PATHS) or is_authorised(headers, token):
            return None
        if "text/html" in headers.get("accept", "") and scope["method"] == "GET":
            query = scope["query_string"].decode("latin-1")
            target = quote(path + (f"?{query}" if query else ""), safe="")
            return RedirectResponse(f"{self._settings.prefix}/login?next={target}", 303)
        return problem(
            401, "token-required", "send the header Authorization: Bearer TOKEN",
            {"www-authenticate": "Bearer"},
        )  # fmt: skip


def is_authorised(headers: Headers, token: str) -> bool:
    """Return whether a request carries the token, in its header or as the cookie."""
    scheme, _, given = headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and same(given.strip(), token):
        return True
    try:
        cookies = SimpleCookie(headers.get("cookie", ""))
    except CookieError:
        return False
    return COOKIE in cookies and same(cookies[COOKIE].value, cookie_value(token))


def cookie_value(token: str) -> str:
    """Return the value of the cookie for a token; the token cannot be derived from it."""
    return hmac.new(token.encode(), b"overlap view cookie", hashlib.sha256).hexdigest()


def same(given: str, expected: str) -> bool:
    """Compare two texts in a time that does not depend on where they differ."""
    return hmac.compare_digest(given.encode(), expected.encode())


def host_name(header: str) -> str:
    """Return the name in a `Host` header without its port; empty if the header is invalid.

    Examples:
        >>> host_name("localhost:4300"), host_name("[::1]:80"), host_name("a@b")
        ('localhost', '::1', '')
    """
    try:
        parts = urlsplit(f"//{header}")
    except ValueError:
        return ""
    return "" if parts.username is not None else (parts.hostname or "")


def _from_another_site(method: str, headers: Headers) -> bool:
    """Return whether a page of another site caused the request; a link is no such request."""
    site = headers.get("sec-fetch-site")
    if site in ("cross-site", "same-site"):
        return not (method == "GET" and headers.get("sec-fetch-mode") == "navigate")
    origin = headers.get("origin")
    if site is None and origin is not None and method != "GET":
        return urlsplit(origin).netloc != headers.get("host")
    return False


def problem(
    status: int, code: str, message: str, headers: dict[str, str] | None = None, **fields: object
) -> Response:
    """Return an error as JSON: `{"error": {"code", "message", …}}`.

    Args:
        status: HTTP status.
        code: Kebab-case, stable.
        message: One sentence for the reader.
        headers: Additional headers.
        **fields: Facts of the fault.
    """
    content = {"error": {"code": code, "message": message, **fields}}
    body = json.dumps(content, ensure_ascii=False, default=str)
    return Response(body, status, headers, "application/json")
