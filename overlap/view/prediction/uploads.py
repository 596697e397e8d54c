"""Reads the clips of a request: one as its body, or several as multipart/form-data.

Every limit is checked while the body arrives, so a request that is too large or too slow never
occupies more than its limit.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from email.parser import HeaderParser
from typing import Final

from starlette.requests import ClientDisconnect, Request

from overlap.errors import UserError
from overlap.view.settings import Limits

PART_HEADER_BYTES: Final = 8192
"""Largest headers of one part."""
NAME_LENGTH: Final = 200
"""Most characters of a file name that are kept."""


class RequestError(UserError):
    """A request that cannot be answered; `status` is its HTTP status.

    Attributes:
        status: HTTP status.
    """

    default_code = "invalid-request"

    def __init__(self, message: str, *, status: int, code: str, **fields: object) -> None:
        super().__init__(message, code=code, **fields)
        self.status = status


@dataclass(frozen=True)
class Upload:
    """A clip as it was sent."""

    name: str
    """Its file name; empty if the client sent none."""
    content: bytes


class Buffers:
    """Bounds the bytes of all requests that are being read or decoded.

    Args:
        limits: The limits.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits, self._used = limits, 0

    @asynccontextmanager
    async def body(self, request: Request) -> AsyncIterator[bytes]:
        """Read the body of a request; its bytes count until the block ends.

        Raises:
            RequestError: It is too large (413), too slow (408) or incomplete (400), or the server
                is busy (429).
        """
        declared = request.headers.get("content-length", "")
        if declared.isdigit() and int(declared) > self._limits.body_bytes:
            raise self._too_large()
        parts, size = list[bytes](), 0
        try:
            try:
                async with asyncio.timeout(self._limits.body_seconds):
                    async for part in request.stream():
                        size += len(part)
                        self._used += len(part)
                        if size > self._limits.body_bytes:
                            raise self._too_large()
                        if self._used > self._limits.buffered_bytes:
                            raise RequestError(
                                "the server is reading too many large requests; try again later",
                                status=429, code="busy",
                            )  # fmt: skip
                        parts.append(part)
            except TimeoutError:
                seconds = self._limits.body_seconds
                raise RequestError(
                    f"the request did not arrive within {seconds:g} s", status=408, code="too-slow",
                    limit_seconds=seconds,
                ) from None  # fmt: skip
            except ClientDisconnect:
                raise RequestError(
                    "the connection ended within the request", status=400, code="incomplete"
                ) from None
            yield b"".join(parts)
        finally:
            self._used -= size

    def _too_large(self) -> RequestError:
        limit = self._limits.body_bytes
        return RequestError(
            f"the request is larger than {limit:,} bytes; send fewer clips at a time",
            status=413, code="body-too-large", limit_bytes=limit,
        )  # fmt: skip


def uploads(body: bytes, content_type: str, limits: Limits) -> list[Upload]:
    """Return the clips of a request's body.

    Args:
        body: The body.
        content_type: Its media type; multipart/form-data contains a clip per part, anything else
            is one clip, whatever its type.
        limits: The limits.

    Raises:
        RequestError: The body is empty or not well-formed (400), or has too many clips (413).
    """
    header = Message()
    header["content-type"] = content_type
    if header.get_content_maintype() != "multipart":
        found = [Upload("", body)] if body else []
    else:
        found = []
        for upload in _parts(body, str(header.get_param("boundary", ""))):
            found.append(upload)
            if len(found) > limits.clips:
                raise RequestError(
                    f"the request has more than {limits.clips} clips; send fewer at a time",
                    status=413, code="too-many-clips", limit=limits.clips,
                )  # fmt: skip
    if not found:
        raise RequestError(
            "the request contains no clip; send a sound file as the body, or files as "
            "multipart/form-data",
            status=400, code="no-clips",
        )  # fmt: skip
    return found


def _parts(body: bytes, boundary: str) -> Iterator[Upload]:
    """Yield the files of a multipart body (RFC 2046, RFC 7578)."""
    if not boundary or len(boundary) > 200 or not boundary.isascii():
        raise _malformed("the boundary is missing or invalid")
    delimiter = b"\r\n--" + boundary.encode()
    position = (b"\r\n" + body).find(delimiter)
    if position < 0:
        raise _malformed("the boundary does not occur")
    position += len(delimiter) - 2  # the added line break is not in the body
    while body[position : position + 2] != b"--":
        start = body.find(b"\r\n", position)  # blanks may follow the boundary
        end = body.find(delimiter, start) if start >= 0 else -1
        if end < 0:
            raise _malformed("the last boundary is missing")
        upload = _file(body[start:end])
        if upload is not None:
            yield upload
        position = end + len(delimiter)


def _file(part: bytes) -> Upload | None:
    """Return the file of a part; None for a field of a form without a file."""
    head, separator, content = part.partition(b"\r\n\r\n")
    if not separator or len(head) > PART_HEADER_BYTES:
        raise _malformed("a part has no headers, or too long ones")
    headers = HeaderParser().parsestr(head.decode("utf-8", "replace").strip("\r\n") + "\r\n\r\n")
    name = headers.get_filename()
    if name is None and headers.get_content_maintype() not in ("audio", "application"):
        return None
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name or "")
    return Upload(shown[:NAME_LENGTH], content)


def _malformed(reason: str) -> RequestError:
    return RequestError(
        f"the multipart body is not well-formed: {reason}", status=400, code="malformed-body"
    )
