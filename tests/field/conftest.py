"""A finished run, and commands in the environment of a user without a Prefect server."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from support.process_fixtures import TIMEOUT
from support.processes import OVERLAP
from support.run_steps import Finished

KEPT = (
    *("PATH", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH", "OVERLAP_SKIP_NOTHING"),
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS",  # set where the machine does much else
)
"""Variables of the tests that a trial's command keeps; the rest is not the user's."""


@dataclass(frozen=True)
class Answer:
    """The end of a command.

    Attributes:
        code: Exit code.
        out: Standard output.
        err: Standard error.
        seconds: From its start to its end.
    """

    code: int
    out: str
    err: str
    seconds: float


Run = Callable[..., Answer]


@pytest.fixture
def field_environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a user: a home of its own, no Prefect server."""
    home = tmp_path / "home"
    home.mkdir()
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    return kept | {"HOME": str(home), "COLUMNS": "200", "NO_COLOR": "1"}


@pytest.fixture
def run(field_environment: dict[str, str], tmp_path: Path) -> Run:
    """Run `overlap` as a user does; nothing is checked.

    Keyword arguments: `folder` is the current folder, `extra` adds variables, `without` removes
    some, `prefix` is a command in front (`("taskset", "-c", "0")`), `timeout` in seconds, `script`
    is another console script.
    """

    def start(
        *arguments: object,
        folder: Path = tmp_path,
        extra: Mapping[str, str] | None = None,
        without: tuple[str, ...] = (),
        prefix: tuple[str, ...] = (),
        timeout: float = TIMEOUT,
        script: str | Path = OVERLAP,
    ) -> Answer:
        environment = {
            name: value
            for name, value in {**field_environment, **(extra or {})}.items()
            if name not in without
        }
        began = time.monotonic()
        done = subprocess.run(
            [*prefix, script, *map(str, arguments)], cwd=folder, env=environment,
            capture_output=True, text=True, timeout=timeout, check=False,
        )  # fmt: skip
        return Answer(done.returncode, done.stdout, done.stderr, time.monotonic() - began)

    return start


@pytest.fixture(scope="session")
def again(
    finished: Finished, data: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[object, ...]:
    """Return the arguments of a command that starts a flow with nothing to compute.

    `overlap run` would start none. Each worker of pytest-xdist has its own copy of the workspace,
    because a run locks it.
    """
    workspace = tmp_path_factory.mktemp("again") / "workspace"
    shutil.copytree(finished.workspace, workspace)
    return ("pool", "--data", data, "--workspace", workspace, "--config", tiny)
