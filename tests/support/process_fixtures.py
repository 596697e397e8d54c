"""Fixtures of whole processes: a Prefect server, the command line, a run that is finished."""

import json
import os
import subprocess
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.processes import OVERLAP, prefect_server
from support.run_steps import Finished


@dataclass(frozen=True)
class Api:
    """A running Prefect server."""

    url: str

    def ask(self, what: str, content: dict[str, Any] | None = None) -> Any:
        """Answer to a filter request."""
        request = urllib.request.Request(
            f"{self.url}/{what}/filter",
            json.dumps(content or {}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read())


@pytest.fixture(scope="session")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """One Prefect server for all tests of this session."""
    home = tmp_path_factory.mktemp("prefect")
    with prefect_server(home, os.environ | {"PREFECT_HOME": str(home)}, "--no-ui") as url:
        yield Api(f"{url}/api")


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


Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def overlap(environment: dict[str, str]) -> Command:
    """Runs the command line; the test fails unless it ends with the code (None: with any)."""

    def run(
        *arguments: object, code: int | None = 0, **extra: str
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [OVERLAP, *map(str, arguments)],
            env=environment | extra, capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        said = f"{done.args}\n{done.stdout}\n{done.stderr}"
        assert code is None or done.returncode == code, said
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
    """`overlap run`, once for all tests that look at its result; not to be changed."""
    workspace = tmp_path_factory.mktemp("finished") / "workspace"
    done = overlap("run", "--data", data, "--workspace", workspace, "--config", tiny)
    return Finished(workspace, submission(workspace), done.stdout)
