"""`POST /v1/predict`: clips in, probabilities as JSON out; with its description and figures."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from overlap.audio.clips import decode_content
from overlap.audio.decode import Clip, max_file_bytes
from overlap.config import AudioFormat
from overlap.errors import AudioError, NotReadyError, OverlapError
from overlap.io.bulk_read import Read, TooLargeError
from overlap.io.location import Location
from overlap.redaction import masked
from overlap.system.resources.processors import usable_processors
from overlap.view.guard import problem
from overlap.view.pictures import Drawer, picture_of
from overlap.view.prediction.batcher import Batcher, BusyError, FormatChangedError, Predicted
from overlap.view.prediction.champion_holder import ChampionHolder
from overlap.view.prediction.description import describe
from overlap.view.prediction.figures import PredictionFigures
from overlap.view.prediction.uploads import Buffers, RequestError, Upload, uploads
from overlap.view.settings import ViewSettings

FORMAT_TRIES: Final = 3
"""How often a request is decoded again because the champion was replaced by one for other clips."""
PROMETHEUS: Final = "text/plain; version=0.0.4; charset=utf-8"


class PredictionApi:
    """The handlers of predictions.

    Args:
        workspace: The workspace whose champion predicts.
        settings: Settings of the server.
        poll_seconds: Time between two looks for a new champion; None: by the kind of storage.
    """

    def __init__(
        self, workspace: Location, settings: ViewSettings, poll_seconds: float | None = None
    ) -> None:
        self._settings, self._limits = settings, settings.limits
        self.champion = ChampionHolder(workspace, poll_seconds)
        self.figures = PredictionFigures(self.champion)
        self._buffers = Buffers(settings.limits)
        self._batcher = Batcher(
            self.champion.current, self._limits.waiting_clips, self.figures.batches.observe
        )
        self.drawer = Drawer()
        self._decoders = ThreadPoolExecutor(usable_processors(), thread_name_prefix="decode")

    def routes(self) -> list[BaseRoute]:
        """Return the routes of the predictions."""
        return [
            Route("/v1/predict", self.predict, methods=["POST"]),
            Route("/v1/picture", self.picture, methods=["POST"]),
            Route("/openapi.json", self.description),
            Route("/metrics", self.metrics),
        ]

    def start(self) -> None:
        """Begin to load the champion."""
        self.champion.start()

    async def stop(self) -> None:
        """End the threads."""
        await self._batcher.close()
        self.drawer.stop()
        self._decoders.shutdown(wait=False, cancel_futures=True)
        await asyncio.to_thread(self.champion.stop)

    def description(self, _request: Request) -> Response:
        """The API's description (OpenAPI)."""
        return _json(describe(self._settings))

    def metrics(self, _request: Request) -> Response:
        """Figures for Prometheus."""
        self.figures.waiting.set(self._batcher.waiting_clips)
        return Response(self.figures.text(), headers={"content-type": PROMETHEUS})

    async def picture(self, request: Request) -> Response:
        """Draw waveform and spectrograms of the clip of a request, as PNG."""
        return await self._guarded(self._picture, request)

    async def predict(self, request: Request) -> Response:
        """Predict the clips of a request."""
        started = time.perf_counter()
        answer = await self._guarded(self._answer, request)
        self.figures.requests.labels(status=str(answer.status_code)).inc()
        self.figures.seconds.observe(time.perf_counter() - started)
        return answer

    async def _guarded(
        self, answer: Callable[[Request], Awaitable[Response]], request: Request
    ) -> Response:
        """Answer a request; what cannot be answered becomes an error with a code."""
        try:
            return await answer(request)
        except RequestError as error:
            return problem(error.status, error.code, str(error), None, **error.fields)
        except BusyError as error:
            return problem(429, error.code, str(error), {"retry-after": "1"})
        except OverlapError as error:  # no champion, or one that cannot be loaded
            code = error.code if isinstance(error, NotReadyError) else "champion-unusable"
            return problem(503, code, masked(str(error)), {"retry-after": "10"})

    async def _picture(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        async with self._buffers.body(request) as body:
            sent = await asyncio.to_thread(uploads, body, content_type, self._limits)
            features = (await asyncio.to_thread(self.champion.current)).features
            (clip,) = await self._decoded(sent[:1], features.clip_format)
        if isinstance(clip, AudioError):
            return problem(422, clip.code, str(clip))
        drawn = await self.drawer.draw(partial(picture_of, clip, features))
        return Response(drawn, media_type="image/png")

    async def _answer(self, request: Request) -> Response:
        content_type = request.headers.get("content-type", "")
        async with self._buffers.body(request) as body:
            sent = await asyncio.to_thread(uploads, body, content_type, self._limits)
            del body
            for _ in range(FORMAT_TRIES):
                loaded = self.champion.loaded
                if loaded is None:
                    loaded = await asyncio.to_thread(self.champion.current)
                wanted = loaded.features.clip_format
                decoded = await self._decoded(sent, wanted)
                clips = [clip for clip in decoded if isinstance(clip, Clip)]
                if not clips:
                    return self._unusable(sent, decoded)
                try:
                    found = await self._batcher.predict(clips, wanted)
                except FormatChangedError:
                    continue
                return _json(self._content(sent, decoded, found))
        raise BusyError("the champion was replaced several times within this request")

    async def _decoded(self, sent: list[Upload], wanted: AudioFormat) -> "list[Clip | AudioError]":
        loop = asyncio.get_running_loop()
        jobs = [loop.run_in_executor(self._decoders, decoded, one.content, wanted) for one in sent]
        return list(await asyncio.gather(*jobs))

    def _unusable(self, sent: list[Upload], faults: "list[Clip | AudioError]") -> Response:
        errors = [fault for fault in faults if isinstance(fault, AudioError)]
        for error in errors:
            self.figures.clips.labels(outcome=error.code).inc()
        if len(errors) == 1:
            return problem(422, errors[0].code, str(errors[0]))
        clips = [
            {"name": one.name, "error": _fault(error)}
            for one, error in zip(sent, errors, strict=True)
        ]
        return problem(422, "unusable-clips", "none of the clips is usable", None, clips=clips)

    def _content(
        self, sent: list[Upload], decoded: "list[Clip | AudioError]", found: Predicted
    ) -> dict[str, Any]:
        record, row, clips = found.ensemble.record, 0, list[dict[str, Any]]()
        for one, clip in zip(sent, decoded, strict=True):
            if isinstance(clip, AudioError):
                self.figures.clips.labels(outcome=clip.code).inc()
                clips.append({"name": one.name, "error": _fault(clip)})
                continue
            values = found.probabilities[row].astype(float).tolist()
            clips.append(
                {
                    "name": one.name,
                    "probabilities": dict(zip(record.words, values, strict=True)),
                    "disagreement": float(found.disagreement[row]),
                    "repairs": [*clip.repairs],
                    "clipped": bool(clip.clipped),
                }
            )
            row += 1
        self.figures.clips.labels(outcome="predicted").inc(row)
        return {"version": record.version, "words": [*record.words], "clips": clips}


def decoded(content: bytes, wanted: AudioFormat) -> Clip | AudioError:
    """Decode a clip; the result may be the reason why it is unusable.

    Args:
        content: Content of its file.
        wanted: The format to decode to.
    """
    read: Read = content
    if len(content) > max_file_bytes(wanted):
        read = TooLargeError(len(content))
    try:
        return decode_content(read, wanted)
    except AudioError as error:
        return error


def _fault(error: AudioError) -> dict[str, Any]:
    return {"code": error.code, "message": str(error)}


def _json(content: object) -> Response:
    body = json.dumps(content, ensure_ascii=False, allow_nan=False)
    return Response(body, media_type="application/json")
