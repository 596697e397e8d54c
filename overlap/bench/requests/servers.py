"""The servers of the benchmark as processes: `overlap view`, and the naive one."""

import http.client
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import psutil

from overlap.bench.requests.clients import AUDIO, PREDICT
from overlap.errors import BenchError
from overlap.system.child_process import start_child
from overlap.system.foreign_settings import ONEDNN
from overlap.system.import_path import child_environment
from overlap.view.settings import TOKEN_VARIABLE

FIRST_SECONDS: Final = 600.0
"""Time in which a server must have answered its first request, s."""


@dataclass(frozen=True)
class RunningServer:
    """A server that runs."""

    url: str
    pid: int

    def cpu_seconds(self) -> float:
        """User and system time of its process so far, s."""
        times = psutil.Process(self.pid).cpu_times()
        return float(times.user + times.system)


@contextmanager
def own_server(workspace: Path, log: Path) -> Iterator[RunningServer]:
    """Run `overlap view`; yield it.

    Args:
        workspace: The workspace, which has a champion.
        log: Receives its output.

    Raises:
        BenchError: It did not start.
    """
    command = [sys.executable, "-m", "overlap", "view", "--workspace", str(workspace)]
    # A terminal of this width does not break the line with the address.
    environment = child_environment(_environment()) | {"COLUMNS": "1000"}
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, "--port", "0"], env=environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=file, text=True,
        )  # fmt: skip
    try:
        line = process.stdout.readline() if process.stdout else ""
        address = re.search(r"http://[^;\s]+", line)
        if address is None:
            raise _not_started("overlap view", log)
        yield RunningServer(address[0], process.pid)
    finally:
        process.kill()
        process.communicate()


@contextmanager
def naive_server(workspace: Path, call: str, log: Path) -> Iterator[RunningServer]:
    """Run the naive server; yield it.

    Args:
        workspace: The workspace, which has a champion.
        call: How the networks are called.
        log: Receives its output.

    Raises:
        BenchError: It did not start.
    """
    module = "overlap.bench.requests.naive_server"
    with log.open("w") as file:
        child = start_child(module, [str(workspace), call], _environment(ONEDNN), file)
    try:
        report = child.read_report()
        if report is None:
            raise _not_started("the naive server", log)
        yield RunningServer(str(report["url"]), child.process.pid)
    finally:
        child.close()


def _environment(*without: str) -> dict[str, str]:
    dropped = {TOKEN_VARIABLE, *without}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    return kept | {"CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}


def _not_started(name: str, log: Path) -> BenchError:
    return BenchError(f"{name} did not start; its log ends with\n{log.read_text()[-2000:]}")


def first_answer(url: str, clip: bytes) -> dict[str, float]:
    """Wait until a server predicts; its first prediction loads or compiles networks.

    Args:
        url: Address of the server.
        clip: Content of a sound file.

    Returns:
        The probabilities by word.

    Raises:
        BenchError: It does not answer, or not with a prediction.
    """
    end, reason = time.monotonic() + FIRST_SECONDS, ""
    while time.monotonic() < end:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=FIRST_SECONDS)
        try:
            connection.request("POST", PREDICT, clip, {"content-type": AUDIO})
            answer = connection.getresponse()
            content = answer.read()
            if answer.status == 200:
                return dict(json.loads(content)["clips"][0]["probabilities"])
            reason = f"{answer.status} {content[:500].decode('utf-8', 'replace')}"
        except OSError as error:
            reason = str(error)
        finally:
            connection.close()
        time.sleep(0.2)
    raise BenchError(f"{url} does not predict: {reason}")
