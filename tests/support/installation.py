"""A whole installation as separate processes, each of which can be killed and started again."""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from support.dask_processes import GPU, HERE
from support.processes import OVERLAP, free_port, members_of, stop, wait_for

PREFECT = (sys.executable, "-m", "prefect", "server", "start", "--no-ui", "--host", "127.0.0.1")
DASK = (sys.executable, "-m", "dask")
WORKER_MARK = "multiprocessing"
"""In the command line of a process that a nanny has started as a worker."""


@dataclass
class Program:
    """A process that somebody keeps running, as systemd or Kubernetes would."""

    command: tuple[str, ...]
    ready: Callable[["Program"], None] = lambda _program: None
    process: subprocess.Popen[bytes] | None = None

    @property
    def runs(self) -> bool:
        """Whether it is there."""
        return self.process is not None and self.process.poll() is None


@dataclass
class Site:
    """A Prefect server, and where `outside` its database and a Dask cluster."""

    folder: Path
    environment: dict[str, str]
    programs: dict[str, Program] = field(default_factory=dict)
    cluster: tuple[str, ...] = ()
    """Options of a run that name the cluster; none: it opens one of its own."""

    def mend(self) -> None:
        """Start what does not run."""
        for name, program in self.programs.items():
            if not program.runs:
                with (self.folder / f"{name}.log").open("ab") as log:
                    program.process = subprocess.Popen(
                        program.command, env=self.environment, cwd=self.folder, stdout=log,
                        stderr=log,
                    )  # fmt: skip
                program.ready(program)

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        """`overlap` with some arguments; what it says is run.log."""
        with (self.folder / "run.log").open("wb") as log:
            return subprocess.Popen(
                [OVERLAP, *map(str, arguments), *self.cluster], env=self.environment,
                cwd=self.folder, stdout=log, stderr=log,
            )  # fmt: skip

    @property
    def printed(self) -> str:
        """The output of the last command."""
        return (self.folder / "run.log").read_text(errors="replace")

    def victims(self, run: subprocess.Popen[bytes], workspace: Path) -> dict[str, list[int]]:
        """Process ids by what they are; only what is there."""
        found = {"flow": [run.pid], "member": [p.pid for p in members_of(workspace)]}
        nannies = [self.programs[name].process for name in self.programs if "worker" in name]
        found["nanny"] = [nanny.pid for nanny in nannies if nanny]
        above = found["nanny"] or found["flow"]
        found["worker"] = [
            child.pid for pid in above for child in _below(pid) if WORKER_MARK in _said_by(child)
        ]
        for name in ("scheduler", "server", "database"):
            program = self.programs.get(name)
            found[name] = _inner(program.process) if program and program.process else []
        return {kind: pids for kind, pids in found.items() if pids}

    def close(self) -> None:
        """End all of it."""
        for program in reversed(self.programs.values()):
            if program.process is not None:
                for child in _below(program.process.pid):
                    with suppress(psutil.Error):
                        child.terminate()
                stop(program.process)


def _below(pid: int) -> list[psutil.Process]:
    try:
        return psutil.Process(pid).children(recursive=True)
    except psutil.Error:
        return []


def _said_by(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def _inner(process: subprocess.Popen[bytes]) -> list[int]:
    """The server itself, where another program (`runuser`) has started it."""
    if "runuser" not in _said_by(psutil.Process(process.pid)):
        return [process.pid]
    return [child.pid for child in psutil.Process(process.pid).children()]


def kill(pid: int) -> None:
    """Signal 9, to what may be gone by now."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def postgres() -> tuple[tuple[str, ...], str] | None:
    """Folder of PostgreSQL's programs, and what they are started by; None where there is none."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    found = shutil.which("initdb") or (str(programs[-1] / "initdb") if programs else None)
    if found is None:
        return None
    other = ("runuser", "-u", "postgres", "--") if os.geteuid() == 0 else ()  # never as root
    return other, str(Path(found).resolve().parent)  # all of them are there


@contextmanager
def database() -> Iterator[tuple[Program, str]]:
    """PostgreSQL, not started yet, and its address.

    Raises:
        FileNotFoundError: it is not installed.
    """
    found = postgres()
    if found is None:
        raise FileNotFoundError("no PostgreSQL server on this machine (Debian: postgresql)")
    other, programs = found
    folder, port = Path(tempfile.mkdtemp(prefix="overlap-postgres-")), free_port()
    try:
        if other:
            shutil.chown(folder, "postgres")
        made = [*other, f"{programs}/initdb", "--auth=trust", "--username=overlap"]
        subprocess.run([*made, f"--pgdata={folder}/data"], check=True, capture_output=True)
        command = (*other, f"{programs}/postgres", "-D", f"{folder}/data", "-p", str(port))
        command += ("-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}")

        def ready(program: Program) -> None:
            asked = [*other, f"{programs}/pg_isready", "-h", "127.0.0.1", "-p", str(port)]
            started = time.monotonic()
            while (printed := subprocess.run(asked, capture_output=True, check=False)).returncode:
                assert program.runs, f"PostgreSQL ended: {printed}"
                assert time.monotonic() - started < 60, f"PostgreSQL does not answer: {printed}"
                time.sleep(0.2)

        yield (
            Program(command, ready),
            f"postgresql+asyncpg://overlap@127.0.0.1:{port}/postgres",
        )
    finally:
        shutil.rmtree(folder)


@contextmanager
def site(folder: Path, *, outside: bool) -> Iterator[Site]:
    """An installation that runs.

    Args:
        folder: Of logs and Prefect's files.
        outside: Whether server and cluster are those of a service: PostgreSQL, a scheduler, a
            worker for features and one that trains, under nannies. Else SQLite, and every run
            opens a cluster of its own.
    """
    folder.mkdir(parents=True)
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"), "PREFECT_API_URL": f"{url}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1",
        "COLUMNS": "200", "NO_COLOR": "1",
    }  # fmt: skip
    made = Site(folder, environment)

    def answers(program: Program) -> None:
        assert program.process is not None
        wait_for(f"{url}/api/health", program.process, 180)

    with ExitStack() as opened:
        opened.callback(made.close)
        if outside:
            program, address = opened.enter_context(database())
            opened.callback(made.close)  # before the files of the database are removed
            environment["PREFECT_SERVER_DATABASE_CONNECTION_URL"] = address
            made.programs["database"] = program
            dask = free_port()
            scheduler = f"tcp://127.0.0.1:{dask}"
            made.programs["scheduler"] = Program((*DASK, "scheduler", *HERE, "--port", str(dask)))
            for name, options in (("cpu", ()), ("gpu", GPU)):
                command = (*DASK, "worker", scheduler, *HERE, "--nthreads", "1", *options)
                made.programs[f"{name}-worker"] = Program((*command, "--name", name))
            made.cluster = ("--cluster", scheduler)
        made.programs["server"] = Program((*PREFECT, "--port", str(port)), answers)
        made.mend()
        yield made
