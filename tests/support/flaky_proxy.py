"""A proxy in front of an object store that fails as networks and stores do, drawn by a seed."""

import http.client
import random
import socket
import struct
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

SLOW_DOWN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>SlowDown</Code>'
    b"<Message>Please reduce your request rate.</Message></Error>"
)
BROKEN = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>InternalError</Code>'
    b"<Message>We encountered an internal error.</Message></Error>"
)
DELAY_SECONDS = 1.0
FAULTS = ("500", "503", "cut off", "reset", "slow")
"""An error, a request to slow down, an answer that ends half way, a connection that is reset before
it is answered, an answer that comes late."""


@dataclass
class Plan:
    """How often which fault happens; may be changed while the proxy runs."""

    share: float
    """Of the requests that fail."""
    faults: tuple[str, ...] = FAULTS
    seed: int = 1
    done: Counter[str] = field(default_factory=Counter)
    """How often each happened; the others as `ok`."""

    def __post_init__(self) -> None:
        self._draw, self._lock = random.Random(self.seed), threading.Lock()

    def next(self) -> str:
        """What happens to a request."""
        with self._lock:
            fault = self._draw.choice(self.faults) if self._draw.random() < self.share else "ok"
            self.done[fault] += 1
        return fault


class _Proxy(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, store: str, plan: Plan) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.store, self.plan = urlsplit(store).netloc, plan


class _Request(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Proxy

    def do_GET(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        fault = self.server.plan.next()
        if fault == "reset":
            # Closed at once with a reset, not politely.
            linger = struct.pack("ii", 1, 0)
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
            self.connection.close()
            self.close_connection = True
            return
        if fault in ("500", "503"):
            self._answer(int(fault), {}, SLOW_DOWN if fault == "503" else BROKEN)
            return
        if fault == "slow":
            time.sleep(DELAY_SECONDS)
        store = http.client.HTTPConnection(self.server.store, timeout=60)
        store.request(self.command, self.path, body, dict(self.headers.items()))
        answer = store.getresponse()
        self._answer(
            answer.status, dict(answer.getheaders()), answer.read(), cut=fault == "cut off"
        )
        store.close()

    def _answer(
        self, status: int, headers: Mapping[str, str], content: bytes, *, cut: bool = False
    ) -> None:
        self.send_response_only(status)
        for name, value in headers.items():
            if name.lower() not in ("content-length", "transfer-encoding", "connection"):
                self.send_header(name, value)
        size = headers.get("Content-Length", str(len(content))) if self.command == "HEAD" else None
        self.send_header("Content-Length", size or str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        if cut:
            self.close_connection = True

    do_PUT = do_POST = do_DELETE = do_HEAD = do_GET  # noqa: N815  names of the library

    def handle(self) -> None:
        with suppress(OSError):  # the other side went away, as it may
            super().handle()

    def finish(self) -> None:
        with suppress(OSError):
            super().finish()

    def log_message(self, *_arguments: object) -> None:
        pass


@contextmanager
def flaky(store: str, plan: Plan) -> Iterator[str]:
    """The address of a proxy in front of a store.

    Args:
        store: Its address.
        plan: What the proxy does.
    """
    server = _Proxy(store, plan)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
