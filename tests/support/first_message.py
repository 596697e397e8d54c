"""Measures how much a command computes before it says what is wrong.

    PYTHONPATH=tests:. python -m support.first_message DATA WORKSPACE

runs the usual mistakes with a data set and the workspace of a finished run over it, and prints a
table: processor seconds of the command's own process and elapsed seconds until the first line on
standard error. Processor seconds depend less on what else the machine does.
"""

import argparse
import fcntl
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import psutil

from support.fault_tables import markdown
from support.processes import OVERLAP, free_port

POLL_SECONDS = 0.02


@dataclass(frozen=True)
class FirstMessage:
    """The first line on standard error, and what preceded it."""

    text: str
    cpu_seconds: float
    """Of the command's own process."""
    seconds: float


def first_message(
    arguments: tuple[object, ...], environment: dict[str, str], folder: Path
) -> FirstMessage:
    """Run a command until its first line on standard error, and end it."""
    began = time.monotonic()
    process = subprocess.Popen(
        [OVERLAP, *map(str, arguments)], cwd=folder, env=environment, stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    fcntl.fcntl(process.stderr, fcntl.F_SETFL, os.O_NONBLOCK)
    about, used, text = psutil.Process(process.pid), 0.0, b""
    try:
        while b"\n" not in text:
            if about.status() == psutil.STATUS_ZOMBIE and not (
                text := process.stderr.read() or b""
            ):
                break
            times = about.cpu_times()
            used = times.user + times.system
            text += process.stderr.read() or b""
            time.sleep(POLL_SECONDS)
    finally:
        seconds = time.monotonic() - began
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stderr.close()
    return FirstMessage(text.decode(errors="replace").partition("\n")[0], used, seconds)


@contextmanager
def silent_port() -> Iterator[int]:
    """A port that accepts connections and never answers."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(50)
        yield int(listening.getsockname()[1])


def measured(data: Path, workspace: Path, folder: Path) -> Iterator[tuple[str, FirstMessage]]:
    """Yield every situation with its first message."""
    home = folder / "home"
    home.mkdir()
    usual = {"PATH": os.environ["PATH"], "HOME": str(home), "NO_COLOR": "1", "COLUMNS": "200"}
    usual |= {"PYTHONPATH": os.environ.get("PYTHONPATH", "")}
    run = ("run", "--data", data, "--workspace", workspace)

    def of(
        *arguments: object,
        extra: MappingProxyType[str, str] | dict[str, str] = MappingProxyType({}),
    ) -> FirstMessage:
        return first_message(arguments, usual | extra, folder)

    yield "a wrong data folder", of("run", "--data", folder / "none", "--workspace", workspace)
    yield "a wrong option", of(*run, "--nonsense")
    yield "a wrong setting", of(*run, "--set", "training.epochs=none")
    yield "a workspace that cannot be written", of(*run[:3], "--workspace", "/proc/w")
    address = f"tcp://127.0.0.1:{free_port()}"
    yield "a Dask scheduler that is gone", of(*run, "--members", 9, "--cluster", address)
    url = f"http://127.0.0.1:{free_port()}/api"
    yield "a Prefect server that is gone", of(*run, extra={"PREFECT_API_URL": url})
    with silent_port() as port:
        url = f"http://127.0.0.1:{port}/api"
        yield "a Prefect server that never answers", of(*run, extra={"PREFECT_API_URL": url})
        address = f"tcp://127.0.0.1:{port}"
        named = "a Dask scheduler that never answers"
        yield named, of(*run, "--members", 9, "--cluster", address)
    with (workspace / ".run.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield "a workspace in use by another run", of(*run)
    yield "predict: no champion", of("predict", data / "test", "--out", "x", "--workspace", folder)
    yield "predict: a wrong folder", of("predict", "none", "--out", "x", "--workspace", workspace)
    yield "show: a wrong file", of("show", "none.wav", "--workspace", workspace)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("workspace", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="overlap-first-") as name:
        folder = Path(name)
        workspace = Path(shutil.copytree(given.workspace, folder / "workspace"))
        rows = []
        for situation, found in measured(given.data.resolve(), workspace, folder):
            print(situation, found, file=sys.stderr, flush=True)
            rows.append((situation, f"{found.cpu_seconds:.1f}", found.text.partition(":")[0]))
    print(markdown(("situation", "processor seconds before it", "first line"), rows))


if __name__ == "__main__":
    main()
