"""Processes that tests start: the command line, servers, and how they are waited for and ended."""

import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

OVERLAP = str(Path(sys.executable).with_name("overlap"))


def console_script(folder: Path) -> Path:
    """Write the script that an installer writes for the entry point of pyproject.toml."""
    text = (Path(__file__).resolve().parents[2] / "pyproject.toml").read_text("utf-8")
    module, _, name = tomllib.loads(text)["project"]["scripts"]["overlap"].partition(":")
    script = folder / "bin" / "overlap"
    script.parent.mkdir()
    script.write_text(
        f"#!{sys.executable}\nimport sys\nfrom {module} import {name}\n"
        f"if __name__ == '__main__':\n    sys.exit({name}())\n"
    )
    script.chmod(0o755)
    return script


def free_port() -> int:
    """A port of the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(url: str, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    """Wait until a server answers."""
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        assert process.poll() is None, f"the server of {url} ended"
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            time.sleep(0.2)
    raise TimeoutError(url)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that a test started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def start_prefect_server(
    folder: Path, environment: Mapping[str, str], *options: str
) -> tuple[subprocess.Popen[bytes], str]:
    """Start a Prefect server on a free port; its output is server.log in a folder.

    Returns:
        The process, which answers already, and its address.
    """
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = {
        "PREFECT_API_URL": f"{url}/api",  # the UI asks there
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_UI_V2_ENABLED": "false",
        "DO_NOT_TRACK": "1",
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1"]
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(
            [*command, "--port", str(port), *options],
            env={**environment, **settings}, stdout=log, stderr=log,
        )  # fmt: skip
    try:
        wait_for(f"{url}/api/health", server, 280)
    except BaseException:
        stop(server)
        raise
    return server, url


@contextmanager
def prefect_server(folder: Path, environment: Mapping[str, str], *options: str) -> Iterator[str]:
    """Yield the address of a Prefect server; end the server afterwards."""
    server, url = start_prefect_server(folder, environment, *options)
    try:
        yield url
    finally:
        stop(server)


@contextmanager
def object_store(secret: str = "test") -> Iterator[dict[str, str]]:
    """A server with the API of S3; the environment in which s3:// is that server."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        wait_for(url, server)
        yield {
            "AWS_ENDPOINT_URL": url,
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": "us-east-1",
        }
    finally:
        stop(server)


def running_below(process: "subprocess.Popen[Any]", module: str) -> list[psutil.Process]:
    """Descendants of a process that run a module."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if module in child.cmdline():
                found.append(child)
        except psutil.Error:
            continue
    return found


def until(condition: Callable[[], object], seconds: float) -> None:
    """Wait until a condition holds."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds
        time.sleep(0.05)


def has_checkpoint(workspace: Path) -> bool:
    """Return whether a member has finished an epoch and not yet the training."""
    return any(workspace.glob("members/*/checkpoint.npz"))


def members_of(workspace: Path) -> list[psutil.Process]:
    """Processes that train in a workspace."""
    return [
        process
        for process in psutil.process_iter(["cmdline", "status"])
        if str(workspace) in (process.info["cmdline"] or ())
        and "overlap.training.member" in process.info["cmdline"]
        and process.info["status"] != psutil.STATUS_ZOMBIE
    ]
