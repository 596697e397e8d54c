"""Server-sent events: a part of a page is sent again whenever its content has changed.

A client that does not read, or that has gone, costs one waiting coroutine. At the end of the server
the streams end by themselves.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.responses import StreamingResponse

POLL_SECONDS: Final = 2.0
"""Time between two looks at the workspace."""
SILENT_SECONDS: Final = 15.0
"""Time after which a comment is sent, so that proxies keep the connection."""
CLIENTS: Final = 64
"""Most streams at a time."""


class EventStreams:
    """The open streams of one server.

    Args:
        poll_seconds: Time between two looks.
    """

    def __init__(self, poll_seconds: float = POLL_SECONDS) -> None:
        self._poll, self._open = poll_seconds, 0
        self._over = asyncio.Event()

    @property
    def full(self) -> bool:
        """Whether no more streams are accepted."""
        return self._open >= CLIENTS

    def end(self) -> None:
        """End all streams."""
        self._over.set()

    def stream(self, render: Callable[[], str]) -> StreamingResponse:
        """Return a stream of a part of a page.

        Args:
            render: Returns the current HTML; runs in a thread.
        """
        headers = {"x-accel-buffering": "no"}  # nginx would collect the events
        return StreamingResponse(
            self._events(render), media_type="text/event-stream", headers=headers
        )

    async def _events(self, render: Callable[[], str]) -> AsyncIterator[str]:
        self._open += 1
        shown, sent = "", time.monotonic()
        try:
            while not self._over.is_set():
                current = await run_in_threadpool(render)
                if current != shown:
                    shown, sent = current, time.monotonic()
                    yield f"event: part\ndata: {json.dumps(current)}\n\n"
                elif time.monotonic() - sent >= SILENT_SECONDS:
                    sent = time.monotonic()
                    yield ": nothing has changed\n\n"
                await self._wait()
        finally:
            self._open -= 1

    async def _wait(self) -> None:
        try:
            await asyncio.wait_for(self._over.wait(), self._poll)
        except TimeoutError:
            return
