"""`overlap view` as a process, and clients that ask it."""

import http.client
import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from support.processes import OVERLAP

PREDICT = "/v1/predict"
SECONDS = 120
"""Time after which a client gives up."""


@contextmanager
def serving(workspace: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The process and its address."""
    command = [OVERLAP, "view", "--workspace", str(workspace), "--port", "0", *options]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.search(r"http://\S+?:\d+", process.stdout.readline())
        assert address
        yield process, address[0]
    finally:
        process.kill()
        process.communicate()


@contextmanager
def connected(url: str) -> Iterator[http.client.HTTPConnection]:
    """A connection of one client, for several requests."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=SECONDS)
    try:
        yield connection
    finally:
        connection.close()


def ask(connection: http.client.HTTPConnection, clip: bytes) -> tuple[int, Any]:
    """Ask for the prediction of a clip; return status and content."""
    connection.request("POST", PREDICT, clip)
    answer = connection.getresponse()
    return answer.status, json.loads(answer.read())
