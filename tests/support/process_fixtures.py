"""Fixtures of whole processes: a Prefect server, the command line, a run that is finished."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from support.processes import OVERLAP, start_prefect_server
from support.run_steps import Finished
from support.session_files import once_per_session, read_facts, write_facts
from support.warm_commands import WarmCommands, can_run

PREFECT = "prefect"
PAGE = 200
"""Most objects that Prefect puts into one answer."""
TIMEOUT = float(os.environ.get("OVERLAP_TEST_SECONDS", "280"))
"""Seconds that a command may take. A machine that does much else needs more."""


Command = Callable[..., subprocess.CompletedProcess[str]]


@dataclass(frozen=True)
class Api:
    """A running Prefect server."""

    url: str

    def ask(self, what: str, content: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """Return everything that passes a filter; the server answers in pages."""
        found: list[dict[str, Any]] = []
        while True:
            page = self._page(what, {**(content or {}), "limit": PAGE, "offset": len(found)})
            found += page
            if len(page) < PAGE:
                return found

    def _page(self, what: str, content: dict[str, Any]) -> list[dict[str, Any]]:
        request = urllib.request.Request(
            f"{self.url}/{what}/filter",
            json.dumps(content).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return list(json.loads(answer.read()))


SERVERS: list[subprocess.Popen[bytes]] = []
"""Servers that this process has started; they outlive its tests, see `end_servers`."""


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Api:
    """One Prefect server for all tests and all workers of this session."""

    def start(home: Path) -> None:
        server, url = start_prefect_server(
            home, os.environ | {"PREFECT_HOME": str(home)}, "--no-ui"
        )
        SERVERS.append(server)
        write_facts(home, url=url, process=server.pid)

    folder = once_per_session(tmp_path_factory, PREFECT, start)
    return Api(f"{read_facts(folder)['url']}/api")


def end_servers(common: Path) -> None:
    """End the Prefect server of a session; the process that controls the workers calls this."""
    facts = common / f"shared-{PREFECT}" / "facts.json"
    if facts.exists():
        with suppress(psutil.Error):
            server = psutil.Process(int(read_facts(facts.parent)["process"]))
            server.terminate()
            server.wait(20)


@pytest.fixture(scope="session")
def environment(api: Api, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Environment of a command that uses the session's Prefect server."""
    home = tmp_path_factory.mktemp("home")
    return os.environ | {
        "PREFECT_API_URL": api.url,
        "PREFECT_HOME": str(home),
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }


@pytest.fixture(scope="session")
def warm_commands(environment: dict[str, str]) -> Iterator[WarmCommands]:
    """A process that runs commands in forks of itself."""
    server = WarmCommands(environment)
    yield server
    server.close()


@pytest.fixture(scope="session")
def overlap(environment: dict[str, str], warm_commands: WarmCommands) -> Command:
    """Run the command line in a process of its own; check the exit code (None: accept any)."""

    def run(
        *arguments: object, code: int | None = 0, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        command = [OVERLAP, *map(str, arguments)]
        if can_run(command[1:], extra, code):
            done = warm_commands.run(command, extra, TIMEOUT)
        else:
            done = subprocess.run(
                command,
                env=environment | extra, capture_output=True, text=True, timeout=TIMEOUT,
                check=False,
            )  # fmt: skip
        output = f"{done.args}\n{done.stdout}\n{done.stderr}"
        assert code is None or done.returncode == code, output
        return done

    return run


def submission(workspace: Path) -> bytes:
    """The only submission of a workspace."""
    files = list(workspace.glob("ensembles/*/submission.csv"))
    assert len(files) == 1
    return files[0].read_bytes()


@pytest.fixture(scope="session")
def finished(
    overlap: Command, data: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """`overlap run`, once for all tests that look at its result.

    No test adds files to the workspace or removes some: a test that writes works on a copy.
    """

    def run(folder: Path) -> None:
        workspace = folder / "workspace"
        done = overlap("run", "--data", data, "--workspace", workspace, "--config", tiny)
        write_facts(folder, output=done.stdout)

    folder = once_per_session(tmp_path_factory, "finished", run)
    workspace = folder / "workspace"
    return Finished(workspace, submission(workspace), str(read_facts(folder)["output"]))
