"""The web application of a workspace: pages, events and files; every route only reads."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from overlap.ensemble.registry import EnsembleRecord
from overlap.io.location import Location
from overlap.promotion.champion import Aliases
from overlap.view.clips.pages import ClipPages
from overlap.view.events import POLL_SECONDS, EventStreams
from overlap.view.guard import COOKIE, Guard, cookie_value, problem, same
from overlap.view.overview import now, overview
from overlap.view.pictures import Drawer
from overlap.view.prediction.api import PredictionApi
from overlap.view.prediction.champion_holder import ChampionHolder
from overlap.view.reader import FRESH_SECONDS, WorkspaceReader
from overlap.view.rendering import Renderer
from overlap.view.settings import ViewSettings
from overlap.view.training import members_page
from overlap.view.versions import FILES, version_page

COOKIE_SECONDS: Final = 30 * 24 * 3600
FORM_BYTES: Final = 4096
"""Largest body of the form of the token."""
REPORT_POLICY: Final = (
    "default-src 'none'; img-src data:; media-src data:; style-src 'unsafe-inline'; sandbox; "
    "frame-ancestors 'none'"
)
"""The report is one self-contained file with its own styles, and without scripts."""
NONE: Final = Aliases()


class Pages:
    """The handlers of the pages.

    Args:
        workspace: The workspace.
        settings: Settings of the server.
        champion: The loaded champion.
        drawer: Draws pictures.
        fresh_seconds: How long what was read is shown again.
    """

    def __init__(
        self,
        workspace: Location,
        settings: ViewSettings,
        champion: ChampionHolder,
        drawer: Drawer,
        fresh_seconds: float = FRESH_SECONDS,
    ) -> None:
        self._settings, self._champion = settings, champion
        self._reader = WorkspaceReader(workspace, fresh_seconds)
        self._renderer = Renderer(workspace, settings.prefix)
        self._clips = ClipPages(self._reader, self._renderer, drawer)
        self.streams = EventStreams(min(POLL_SECONDS, fresh_seconds or 0.02))

    def routes(self) -> list[BaseRoute]:
        """Return the routes of all pages."""
        return [
            Route("/", self.overview),
            Route("/members", self.members),
            *self._clips.routes(),
            Route("/try", self.try_clip),
            Route("/versions/{version}", self.version),
            Route("/versions/{version}/files/{name}", self.file),
            Route("/events/{part}", self.events),
            Route("/login", self.login, methods=["GET", "POST"]),
            Mount("/static", StaticFiles(packages=[("overlap.view", "static")])),
        ]

    def overview(self, _request: Request) -> Response:
        """The overview."""
        return self._renderer.page("overview.html", "/", overview(self._reader))

    def members(self, _request: Request) -> Response:
        """The members."""
        return self._renderer.page("members.html", "/members", members_page(self._reader))

    def try_clip(self, _request: Request) -> Response:
        """The page to which a user gives a sound."""
        loaded = self._champion.loaded
        known = self._reader.aliases().value or NONE
        content = {
            "version": loaded.record.version if loaded else known.version,
            "seconds": f"{loaded.features.clip_seconds:g}" if loaded else "1",
        }
        return self._renderer.page("try.html", "/try", content)

    def version(self, request: Request) -> Response:
        """A version, and its comparison with the version of the query's `with`."""
        record = self._record(request)
        other = request.query_params.get("with")
        content = version_page(self._reader, record, other)
        return self._renderer.page("version.html", "", content)

    def file(self, request: Request) -> Response:
        """A file of a version."""
        record, name = self._record(request), request.path_params["name"]
        if name not in FILES:
            raise HTTPException(404, f"A version has no file {name}.")
        kind = FILES[name][1]
        try:
            content = (self._reader.paths.ensemble(record.version).folder / name).read_bytes()
        except OSError:
            raise HTTPException(404, f"{record.version} has no {name}.") from None
        if kind.startswith("text/html"):
            return Response(content, headers={"content-security-policy": REPORT_POLICY},
                            media_type=kind)  # fmt: skip
        disposition = f'attachment; filename="{record.version}-{name}"'
        return Response(content, headers={"content-disposition": disposition}, media_type=kind)

    async def events(self, request: Request) -> Response:
        """Updates of a part of a page as server-sent events."""
        parts = {"now": ("_now.html", now), "members": ("_members.html", members_page)}
        if request.path_params["part"] not in parts:
            raise HTTPException(404, "There is no such part.")
        if self.streams.full:
            return problem(
                429, "too-many-streams", "too many pages are open", {"retry-after": "30"}
            )
        template, read = parts[request.path_params["part"]]
        return self.streams.stream(lambda: self._renderer.text(template, read(self._reader)))

    async def login(self, request: Request) -> Response:
        """The form of the token, and its answer."""
        token = self._settings.token
        if token is None:
            return RedirectResponse(f"{self._settings.prefix}/", 303)
        if request.method == "GET":
            target = local_path(request.query_params.get("next", "/"))
            return self._renderer.page("login.html", "", {"failed": False, "next": target})
        body = b""
        async for part in request.stream():
            body += part
            if len(body) > FORM_BYTES:
                return problem(413, "body-too-large", "the form is too large")
        form = parse_qs(body.decode("utf-8", "replace"))
        target = local_path(form.get("next", ["/"])[0])
        if not same(form.get("token", [""])[0], token):
            return self._renderer.page("login.html", "", {"failed": True, "next": target}, 403)
        answer = RedirectResponse(self._settings.prefix + target, 303)
        answer.set_cookie(
            COOKIE, cookie_value(token), max_age=COOKIE_SECONDS, path=self._settings.prefix or "/",
            httponly=True, samesite="lax", secure=self._settings.secure,
        )  # fmt: skip
        return answer

    async def http_error(self, request: Request, error: Exception) -> Response:
        """An error of the client, as a page or as JSON."""
        status = error.status_code if isinstance(error, HTTPException) else 500
        detail = error.detail if isinstance(error, HTTPException) else ""
        if "text/html" not in request.headers.get("accept", ""):
            return problem(
                status, {404: "not-found", 405: "wrong-method"}.get(status, "refused"), detail
            )
        heading = "Not found" if status == 404 else "Refused"
        return self._renderer.page("message.html", "", {"heading": heading, "text": detail}, status)

    async def server_error(self, _request: Request, _error: Exception) -> Response:
        """An error of this server; the log has its traceback."""
        return problem(500, "internal-error", "the server failed; its log has the details")

    def _record(self, request: Request) -> EnsembleRecord:
        version = request.path_params["version"]
        records = self._reader.ensembles().value or []
        found = next((record for record in records if record.version == version), None)
        if found is None:
            raise HTTPException(404, f"There is no version {version}.")
        return found


def local_path(target: str) -> str:
    """Return a path of this server, whatever the query of the login page contains.

    Examples:
        >>> local_path("/members"), local_path("//other.example"), local_path("https://a.example")
        ('/members', '/', '/')
    """
    plain = target.startswith("/") and not target.startswith("//")
    return target if plain and "\\" not in target and target.isprintable() else "/"


def healthz(_request: Request) -> Response:
    """Whether the server answers."""
    return JSONResponse({"status": "ok"})


class ViewApplication(Guard):
    """The application of a server.

    Args:
        app: The routes.
        settings: Settings of the server.
        streams: The open streams of events.
    """

    def __init__(self, app: ASGIApp, settings: ViewSettings, streams: EventStreams) -> None:
        super().__init__(app, settings)
        self._streams = streams

    def end_streams(self) -> None:
        """End the streams of events, for which a server would wait at its end."""
        self._streams.end()


def create_application(
    workspace: Location, settings: ViewSettings, fresh_seconds: float = FRESH_SECONDS
) -> ViewApplication:
    """Create the application of a server.

    Args:
        workspace: The workspace; it may not exist yet.
        settings: Settings of the server, which were checked.
        fresh_seconds: How long what was read is shown again; 0: not at all.
    """
    predictions = PredictionApi(workspace, settings, None if fresh_seconds else 0.05)
    pages = Pages(workspace, settings, predictions.champion, predictions.drawer, fresh_seconds)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[dict[str, Any]]:
        predictions.start()
        yield {}
        pages.streams.end()
        await predictions.stop()

    app = Starlette(
        routes=[*pages.routes(), *predictions.routes(), Route("/healthz", healthz)],
        exception_handlers={HTTPException: pages.http_error, Exception: pages.server_error},
        lifespan=lifespan,
    )
    return ViewApplication(app, settings, pages.streams)
