"""Runs `overlap` commands in forks of a process that has imported their packages already.

Importing Prefect, Dask, Zarr and the command line takes several CPU seconds, and most commands of
the tests do little else. The server imports them once. Each command gets a process of its own: a
fork with its own file descriptors, working directory, environment, signals and exit code, in which
`flows.cli.main.main` runs as the console script does.

Start the server with `python -m support.warm_commands` in the environment of the commands. Only
variables of `FORWARDED` may differ from it, because Prefect and Keras read theirs on import.
"""

import gc
import importlib
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
FORWARDED = ("AWS_", "BROWSER", "COLUMNS", "NO_COLOR")
"""Prefixes of the variables that no package reads on import."""
PRELOADED = (
    "flows.cli.application", "flows.retrain", "flows.predict", "flows.clusters.opening",
    "overlap.features", "overlap.ensemble.publish", "overlap.reporting.page", "s3fs",
)  # fmt: skip


START_SECONDS = 280
"""Within which a loaded machine imports the packages, or forks."""


def can_run(arguments: Sequence[str], extra: Mapping[str, str], code: int | None) -> bool:
    """Return whether a fork behaves as a new process would.

    An `overlap run` that is not refused gets a new process, so that the whole start of the service
    is tested.

    Args:
        arguments: Of the command.
        extra: Variables that its environment has besides.
        code: The exit code that the test expects.
    """
    verbose = {"--verbose", "-v"} & set(arguments)  # is read when Prefect is imported
    works = "run" in arguments[:1] and code != 2
    return not verbose and not works and all(name.startswith(FORWARDED) for name in extra)


class WarmCommands:
    """Client of one server."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = os.pathsep.join(filter(None, [str(TESTS), environment.get("PYTHONPATH")]))
        self.environment = {**environment, "PYTHONPATH": path}
        self.server: subprocess.Popen[str] | None = None

    def run(
        self, command: Sequence[str], extra: Mapping[str, str], timeout: float
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; like `subprocess.run` with captured output.

        Raises:
            subprocess.TimeoutExpired: the command was ended after `timeout` seconds.
        """
        server = self._started()
        assert server.stdin is not None
        with tempfile.TemporaryDirectory(prefix="overlap-command-") as folder:
            out, err = Path(folder, "out"), Path(folder, "err")
            job = {
                "command": [*command], "extra": {**extra}, "folder": str(Path.cwd()),
                "out": str(out), "err": str(err),
            }  # fmt: skip
            server.stdin.write(json.dumps(job) + "\n")
            server.stdin.flush()
            process = _answer(server, START_SECONDS)
            if (code := _answer(server, timeout)) is None:
                os.kill(process, signal.SIGKILL)
                _answer(server, START_SECONDS)
                raise subprocess.TimeoutExpired([*command], timeout, out.read_text())
            return subprocess.CompletedProcess([*command], code, out.read_text(), err.read_text())

    def _started(self) -> subprocess.Popen[str]:
        if self.server is None:
            self.server = subprocess.Popen(
                [sys.executable, "-m", "support.warm_commands"], env=self.environment, text=True,
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert _answer(self.server, START_SECONDS) == "ready", "the server does not start"
        return self.server

    def close(self) -> None:
        """End the server."""
        if self.server is not None:
            self.server.communicate(timeout=30)


def _answer(server: subprocess.Popen[str], timeout: float) -> Any:
    """Return the next line of a server; None: it takes longer."""
    assert server.stdout is not None
    if not select.select([server.stdout], [], [], timeout)[0]:
        return None
    line = server.stdout.readline()
    assert line, "the server of warm commands ended"
    return json.loads(line)


def serve() -> None:
    """Run each job of standard input in a fork; answer with its process id, then its exit code."""
    from flows.service.environment import prepare

    prepare(verbose=False)
    for name in PRELOADED:
        importlib.import_module(name)
    gc.freeze()  # no fork looks through the objects of the imported modules
    sys.stdout.write('"ready"\n')
    sys.stdout.flush()
    for line in sys.stdin:
        job = json.loads(line)
        process = os.fork()
        if not process:
            _become(job)
        sys.stdout.write(f"{process}\n")
        sys.stdout.flush()
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def _become(job: dict[str, Any]) -> None:
    """Run a command in this process and exit as Python does."""
    from flows.cli.main import main

    for number, (name, flags) in enumerate(
        ((os.devnull, os.O_RDONLY), (job["out"], os.O_WRONLY), (job["err"], os.O_WRONLY))
    ):
        opened = os.open(name, flags | (os.O_CREAT if number else 0), 0o600)
        os.dup2(opened, number)
        os.close(opened)
    os.chdir(job["folder"])
    os.environ.update(job["extra"])
    sys.argv = job["command"]
    sys.modules["__main__"].__package__ = None  # usage messages name sys.argv[0], not this module
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder of the server
    sys.path.insert(0, str(Path(sys.argv[0]).parent))  # the console script's folder
    main()
    sys.exit(0)


if __name__ == "__main__":
    serve()
