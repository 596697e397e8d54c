"""Receivers of messages on the loopback, which keep a record of what arrives: HTTP and SMTP."""

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Delivery:
    """One request that arrived."""

    path: str
    content_type: str
    body: str

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class WebReceiver:
    """An HTTP server that accepts every POST."""

    url: str
    status: int = 200
    """What it answers."""
    deliveries: list[Delivery] = field(default_factory=list)

    def texts(self) -> list[str]:
        """The texts of Slack-compatible messages, oldest first."""
        return [delivery.json["text"] for delivery in self.deliveries]


@contextmanager
def web_receiver(status: int = 200) -> Iterator[WebReceiver]:
    """Run an HTTP server; it answers with a status."""
    receiver = WebReceiver("", status)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = self.rfile.read(length)
            if len(body) < length:  # the client has given up
                return
            kind = self.headers.get("Content-Type", "")
            receiver.deliveries.append(Delivery(self.path, kind, body.decode()))
            self.send_response(receiver.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            """Print nothing."""

    with running(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as port:
        receiver.url = f"http://127.0.0.1:{port}"
        yield receiver


@dataclass
class Mail:
    """One message that arrived: the envelope and the content."""

    sender: str
    recipients: list[str]
    content: EmailMessage

    @property
    def text(self) -> str:
        part = self.content.get_body(("plain", "html"))
        return part.get_content() if part else ""


@dataclass
class Mailbox:
    """An SMTP server (RFC 5321 without TLS) that accepts every message."""

    port: int = 0
    mails: list[Mail] = field(default_factory=list)


class MailServer(socketserver.ThreadingTCPServer):
    """Serves SMTP."""

    allow_reuse_address, daemon_threads = True, True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), MailHandler)
        self.box = Mailbox(self.server_address[1])


class MailHandler(socketserver.StreamRequestHandler):
    """One connection of a mail client."""

    server: MailServer

    def handle(self) -> None:
        sender, recipients = "", list[str]()
        self.say("220 loopback ESMTP")
        while line := self.rfile.readline().decode().strip():
            verb, address = line[:4].upper(), line.partition("<")[2].partition(">")[0]
            if verb == "QUIT":
                self.say("221 bye")
                return
            if verb == "MAIL":
                sender, recipients = address, []
            elif verb == "RCPT":
                recipients.append(address)
            elif verb == "DATA":
                self.say("354 end with a dot")
                self.server.box.mails.append(Mail(sender, recipients, self.read()))
            self.say("250 ok")

    def say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())

    def read(self) -> EmailMessage:
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        content = message_from_bytes(b"".join(lines), policy=policy.default)
        assert isinstance(content, EmailMessage)
        return content


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """Run an SMTP server."""
    server = MailServer()
    with running(server):
        yield server.box


@contextmanager
def running(server: socketserver.TCPServer) -> Iterator[int]:
    """Serve in a thread; yields the port."""
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server.server_address[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
