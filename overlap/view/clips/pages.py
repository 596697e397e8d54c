"""The routes of single clips: the list, a clip with its sound and picture, and the quarantine."""

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from overlap.view.clips.listing import clips_page
from overlap.view.clips.one import FoundClip, clip_page, drawing_of, find_clip
from overlap.view.clips.quarantine import quarantine_page
from overlap.view.clips.sound import read_sound, sound_response, wav_of
from overlap.view.guard import problem
from overlap.view.pictures import Drawer
from overlap.view.prediction.batcher import BusyError
from overlap.view.reader import WorkspaceReader
from overlap.view.rendering import Renderer

HERE = "/clips"
"""Entry of the navigation to which the pages belong."""


class ClipPages:
    """The handlers of the pages of clips.

    Args:
        reader: The workspace.
        renderer: The templates.
        drawer: Draws pictures.
    """

    def __init__(self, reader: WorkspaceReader, renderer: Renderer, drawer: Drawer) -> None:
        self._reader, self._renderer, self._drawer = reader, renderer, drawer

    def routes(self) -> list[BaseRoute]:
        """Return the routes."""
        return [
            Route("/clips", self.clips),
            Route("/clips/{clip}", self.clip),
            Route("/clips/{clip}/sound", self.sound),
            Route("/clips/{clip}/picture", self.picture),
            Route("/quarantine", self.quarantine),
        ]

    def clips(self, request: Request) -> Response:
        """The held-out and test clips of a version."""
        content = clips_page(self._reader, request.query_params)
        return self._renderer.page("clips.html", HERE, content)

    def quarantine(self, request: Request) -> Response:
        """The unusable clips."""
        content = quarantine_page(self._reader, request.query_params)
        return self._renderer.page("quarantine.html", HERE, content)

    def clip(self, request: Request) -> Response:
        """A clip; for an id that both splits have, the choice between them."""
        found = self._found(request)
        if len(found) > 1:
            version = request.query_params.get("version", "")
            content = {"clips": found, "version": version}
            return self._renderer.page("clip_choice.html", HERE, content)
        content = clip_page(self._reader, found[0], request.query_params)
        return self._renderer.page("clip.html", HERE, content)

    def sound(self, request: Request) -> Response:
        """The sound of a clip as WAV."""
        clip = self._found(request)[0]
        catalog = clip.names.catalog
        sound = read_sound(catalog, clip.row)
        if sound.clip is None:
            raise HTTPException(404, f"The sound is not readable: {sound.problem}.")
        content = wav_of(sound.clip, catalog.wanted)
        return sound_response(content, request.headers.get("range"))

    async def picture(self, request: Request) -> Response:
        """Waveform and spectrograms of a clip as PNG."""
        draw = await run_in_threadpool(lambda: drawing_of(self._reader, self._found(request)[0]))
        try:
            return Response(await self._drawer.draw(draw), media_type="image/png")
        except BusyError as error:
            return problem(429, error.code, str(error), {"retry-after": "5"})

    def _found(self, request: Request) -> list[FoundClip]:
        split = request.query_params.get("split", "")
        return find_clip(self._reader, request.path_params["clip"], split)
