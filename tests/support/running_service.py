"""A whole service on the loopback: a Prefect server, a Dask cluster, a worker, deployments."""

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from support.dask_processes import GPU, HERE, dask_process
from support.processes import OVERLAP, free_port, prefect_server, stop

BIN = Path(sys.executable).parent
TERMINAL = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def missing(what: str) -> None:
    """Skip, or fail where nothing may be skipped."""
    if os.environ.get("OVERLAP_SKIP_NOTHING") == "1":
        pytest.fail(f"{what}, and OVERLAP_SKIP_NOTHING=1")
    pytest.skip(what)


@dataclass(frozen=True)
class Service:
    """A Prefect server, and the folder and environment in which its commands are given."""

    url: str
    folder: Path
    environment: dict[str, str]
    stack: ExitStack
    """What is started with it ends with it."""

    def call(self, method: str, path: str, content: object = None) -> Any:
        """Ask the API."""
        body = None if content is None else json.dumps(content).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(f"{self.url}/api{path}", body, headers, method=method)
        for attempt in range(5):
            try:
                with urllib.request.urlopen(request, timeout=60) as answer:
                    text = answer.read()
                return json.loads(text) if text else None
            except (urllib.error.HTTPError, TimeoutError) as error:
                # SQLite was busy for a minute: Prefect's own clients ask again too.
                busy = isinstance(error, TimeoutError) or error.code == 503
                if not busy or attempt == 4:
                    raise
                time.sleep(2)
        return None

    def start(self, *command: object, name: str) -> subprocess.Popen[bytes]:
        """Start a process that ends with the service; its output is NAME.log."""
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        process = subprocess.Popen(
            [*map(str, command)], cwd=self.folder, env=self.environment, stdout=log, stderr=log
        )
        self.stack.callback(stop, process)
        return process

    def overlap(self, *arguments: object, code: int = 0, **more: str) -> str:
        """Run a command; return its output."""
        done = subprocess.run(
            [OVERLAP, *map(str, arguments)], cwd=self.folder, env=self.environment | more,
            capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{done.args}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def worker(self, name: str = "worker") -> subprocess.Popen[bytes]:
        """A process worker of the pool."""
        return self.start(
            BIN / "prefect", "worker", "start", "--pool", "overlap-process", name=name
        )

    def deploy(
        self, data: object, workspace: object, config: Path, *options: object, cpu_workers: int = 1
    ) -> None:
        """Deployments whose runs go to a Dask cluster: CPU workers, and one that trains."""
        self.overlap(
            "deploy", "--data", data, "--workspace", workspace, "--config", config,
            "--cluster", self.dask(cpu_workers), *options,
        )  # fmt: skip

    def dask(self, cpu_workers: int = 1) -> str:
        """A scheduler, CPU workers and one worker that trains; the scheduler's address."""
        port = free_port()
        address = f"tcp://127.0.0.1:{port}"
        started = {"scheduler": ("scheduler", "--port", str(port))}
        for index, options in enumerate([*[()] * cpu_workers, GPU]):
            named = ("--nthreads", "1", "--name", f"dask-{index}", *options)
            started[f"dask-{index}"] = ("worker", address, *named)
        for name, (kind, *arguments) in started.items():
            process = dask_process(
                kind, *arguments, *HERE, log=self.folder / f"{name}.log",
                environment=self.environment, folder=self.folder,
            )  # fmt: skip
            self.stack.enter_context(process)
        return address

    def deployment(self, name: str) -> dict[str, Any]:
        """A deployment, by flow and name."""
        return dict(self.call("GET", f"/deployments/name/{name}"))

    def start_run(self, name: str, changes: Mapping[str, Any] | None = None) -> str:
        """Start a deployment, as Quick run or Custom run of the UI does; the run's id."""
        found = self.deployment(name)
        config = found["parameters"].get("config", {}) | (changes or {})
        content = {"parameters": {"config": config}, "state": {"type": "SCHEDULED"}}
        made = self.call("POST", f"/deployments/{found['id']}/create_flow_run", content)
        return str(made["id"])

    def run_state(self, run: str) -> tuple[str, str]:
        """Type and message of a run's state."""
        state = self.call("GET", f"/flow_runs/{run}")["state"]
        return state["type"], state["message"] or ""

    def ended(self, run: str, seconds: float = 300) -> tuple[str, str]:
        """Wait for the end of a run; type and message of its state."""
        self.until(lambda: self.run_state(run)[0] in TERMINAL, seconds, f"run {run} to end")
        return self.run_state(run)

    def runs(self, **filters: Any) -> list[dict[str, Any]]:
        """Flow runs, oldest first."""
        content = {"sort": "START_TIME_ASC", **filters}
        return list(self.call("POST", "/flow_runs/filter", content))

    def until(self, condition: Callable[[], object], seconds: float, what: str) -> None:
        """Wait for something."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > seconds:
                logs = "\n".join(
                    f"--- {log.name}\n{log.read_text(errors='replace')[-2000:]}"
                    for log in sorted(self.folder.glob("*.log"))
                )
                pytest.fail(f"waited {seconds} s for {what}\n{logs}")
            time.sleep(0.3)


@contextmanager
def serving(folder: Path, **more: str) -> Iterator[Service]:
    """A Prefect server with its UI, on a free port of the loopback."""
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_SERVICES_SCHEDULER_LOOP_SECONDS": "5",
        "PREFECT_WORKER_QUERY_SECONDS": "2",
        "COLUMNS": "200",
        "NO_COLOR": "1",
        **more,
    }
    with prefect_server(folder, environment) as url, ExitStack() as stack:
        yield Service(url, folder, {**environment, "PREFECT_API_URL": f"{url}/api"}, stack)
