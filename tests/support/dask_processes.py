"""Dask schedulers and workers that tests start as processes of their own."""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

from distributed import LocalCluster

from support.processes import free_port, stop

HERE = ("--host", "127.0.0.1", "--no-dashboard")
GPU = ("--resources", "GPU=1")


@contextmanager
def dask_process(
    kind: str,
    *arguments: str,
    log: Path | None = None,
    environment: Mapping[str, str] | None = None,
    before: tuple[str, ...] = (),
    folder: Path | None = None,
) -> Iterator[subprocess.Popen[bytes]]:
    """`dask scheduler` or `dask worker` with some arguments, ended in the end.

    Args:
        kind: scheduler or worker.
        log: Where its output goes.
        environment: Its environment; none: that of the test. PYTHONSAFEPATH is removed, which
            only processes of overlap have.
        before: Command that it is started by.
        folder: Where it is started: what Python looks through first.
    """
    with ExitStack() as opened:
        output = opened.enter_context(log.open("wb")) if log else subprocess.DEVNULL
        variables = {**(os.environ if environment is None else environment)}
        variables.pop("PYTHONSAFEPATH", None)
        process = subprocess.Popen(
            [*before, sys.executable, "-m", "dask", kind, *arguments],
            stdout=output, stderr=output, env=variables, cwd=folder,
        )  # fmt: skip
        opened.callback(stop, process)
        yield process


@contextmanager
def scheduler(logs: Path, **how) -> Iterator[str]:
    """The address of a scheduler on the loopback."""
    port = free_port()
    logs.mkdir(parents=True, exist_ok=True)
    with dask_process("scheduler", *HERE, "--port", str(port), log=logs / "scheduler", **how):
        yield f"tcp://127.0.0.1:{port}"


def worker(address: str, logs: Path, name: str, *options: str, **how):
    """A worker of one thread on the loopback, without a nanny; a context manager."""
    logs.mkdir(parents=True, exist_ok=True)
    return dask_process(
        "worker", address, *HERE, "--nthreads", "1", "--no-nanny", "--name", name,
        "--local-directory", str(logs), *options, log=logs / name, **how,
    )  # fmt: skip


def of_another_version(folder: Path, version: str = "0.0.9") -> dict[str, str]:
    """An environment in which the installed overlap says that it is another version."""
    folder.mkdir(parents=True)
    (folder / "sitecustomize.py").write_text(f"import overlap\noverlap.__version__ = {version!r}\n")
    known = os.environ.get("PYTHONPATH")
    return os.environ | {"PYTHONPATH": os.pathsep.join([str(folder), *([known] if known else [])])}


class Alike:
    """A cluster class that is no `SpecCluster` of Dask's, with workers of one kind."""

    def __init__(self) -> None:
        self.inner = LocalCluster(
            n_workers=0, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
        )
        self.scheduler_address = self.inner.scheduler_address

    def scale(self, count: int) -> None:
        self.inner.scale(count)

    def close(self) -> None:
        self.inner.close()


class Operated(Alike):
    """One that has groups of workers and is scaled from elsewhere, as Kubernetes' operator does."""

    asked: ClassVar[list[tuple]] = []

    def scale(self, count: int) -> None:
        self.asked.append(("scale", count))
        super().scale(count)

    def adapt(self, *, minimum: int, maximum: int) -> None:
        self.asked.append(("adapt", minimum, maximum))

    def add_worker_group(self, name: str, n_workers: int, custom_spec: dict) -> None:
        self.asked.append(("group", name, custom_spec))
        options = self.inner.new_spec["options"] | {"resources": custom_spec["resources"]}
        for number in range(n_workers):
            spec = {"cls": self.inner.new_spec["cls"], "options": options}
            self.inner.worker_spec[f"{name}-{number}"] = spec
        self.inner.scale(len(self.inner.worker_spec))
