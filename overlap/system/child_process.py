"""Child processes: they train, predict and measure, and report to the parent that watches them.

The child reports JSON lines on a pipe of its own. Its standard output and standard error are one
stream of plain text, so that whatever prints, even while Python starts, disturbs no report. The
child ends with its parent: the parent holds the other end of the child's standard input, and when
that closes, even by `kill -9`, the child exits at once. So a task that a cluster repeats never
trains at the same time as the process of an earlier attempt. The parent also kills the child when
nobody waits for its work any more.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import MappingProxyType
from typing import IO, Any, TextIO

from overlap.errors import ChildError, OverlapError
from overlap.io.formatting import format_exit
from overlap.io.location import Location
from overlap.redaction import masked
from overlap.system.allocator import with_retained_heap
from overlap.system.foreign_settings import without_foreign_settings
from overlap.system.import_path import child_environment
from overlap.system.resources.processors import thread_environment
from overlap.system.resources.sharing import TRAININGS
from overlap.system.thread_limits import THREAD_VARIABLES

CHILD_ENV = "OVERLAP_CHILD"
"""Environment variable of a child: the descriptor that it reports on. Parents of earlier versions
set it to 1, standard output, and read the reports there."""
IN_CHILD = CHILD_ENV in os.environ
"""Whether this process is a child: a process of ours, which nobody else's code shares."""
Emit = Callable[[Mapping[str, Any]], None]
"""The function with which a child reports an event to its parent."""
TAIL_LINES = 30
"""Lines of the child's output in an error message."""
WANTED_CHECK_SECONDS = 1.0
"""Time between calls of `wanted`."""


@contextmanager
def child_reporter(*, reads_input: bool = False) -> Iterator[Emit]:
    """Set up the child's end; yield the function that reports, and redirect prints to stderr.

    A process that was not started by `start_child` reports to standard output.

    Args:
        reads_input: Whether the child reads its standard input itself, to its end.
    """
    # Removed, because a process that this one starts does not have the descriptor.
    descriptor = int(os.environ.pop(CHILD_ENV, "0"))
    if descriptor and not reads_input:
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    if descriptor > 1:
        os.set_inheritable(descriptor, False)
    else:
        descriptor = os.dup(1)
        os.dup2(2, 1)
    with os.fdopen(descriptor, "w", encoding="utf-8") as report:

        def emit(event: Mapping[str, Any]) -> None:
            report.write(json.dumps(event) + "\n")
            report.flush()

        yield emit


def child_main(work: Callable[[Emit], None]) -> int:
    """Run the child's work and return its exit code; an expected error is its last output.

    Args:
        work: Called with the function that reports.
    """
    with child_reporter() as emit:
        try:
            work(emit)
        except OverlapError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


def _leave_with_parent() -> None:
    while os.read(0, 4096):
        pass
    os._exit(1)


@dataclass(frozen=True)
class Child:
    """A child that has been started."""

    module: str
    process: subprocess.Popen[str]
    """Its standard input is a pipe."""
    reports: TextIO
    """The pipe of its reports; ends with the child."""

    def read_report(self) -> dict[str, Any] | None:
        """Wait for the next report; None after the last one.

        Raises:
            ChildError: something else than a report arrived; code `stray-output`, fields `module`
                and `line`.
        """
        line = self.reports.readline()
        if not line:
            return None
        try:
            event = json.loads(line)
        except ValueError:
            event = None
        if not isinstance(event, dict):
            raise ChildError(
                f"{self.module} reported a line that is not a report: {line.strip()!r}; find out "
                "which plugin or sitecustomize of this Python wrote it, and remove that",
                code="stray-output",
                module=self.module,
                line=line.strip(),
            )
        return event

    def close(self) -> None:
        """Kill the process, wait for its end, and close the pipes."""
        self.process.kill()
        self.process.wait()
        self.reports.close()
        if self.process.stdin is not None:
            with suppress(BrokenPipeError):
                self.process.stdin.close()


def start_child(
    module: str,
    arguments: Sequence[str],
    environment: Mapping[str, str],
    output: int | IO[Any] = subprocess.PIPE,
) -> Child:
    """Start a module with this interpreter; it imports nothing from the current folder.

    Args:
        module: Import path; its work is done within `child_reporter`.
        arguments: Command-line arguments of the module.
        environment: Environment of the child.
        output: Receives what the child prints; a pipe must be read while the child runs.
    """
    receiving, sending = os.pipe()
    try:
        process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(sending,),
            text=True,
            errors="replace",
            env=child_environment(environment) | {CHILD_ENV: str(sending)},
        )
    except BaseException:
        os.close(receiving)
        raise
    finally:
        os.close(sending)
    return Child(module, process, os.fdopen(receiving, encoding="utf-8", errors="replace"))


def worker_environment(inherited: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a process that trains or predicts.

    It has one thread per processor of this process whatever limits on threads are inherited, and
    no settings of other tools (see `overlap.system.foreign_settings`). It keeps the memory that it
    frees (see `overlap.system.allocator`).

    Args:
        inherited: Environment of the parent process.
    """
    kept = without_foreign_settings(inherited)
    # A worker's number of trainings is not that of a process that predicts.
    dropped = (*THREAD_VARIABLES, TRAININGS)
    environment = with_retained_heap(
        {name: value for name, value in kept.items() if name not in dropped}
    )
    environment |= thread_environment() | {"PYTHONUNBUFFERED": "1"}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return environment


def run_child(
    module: str,
    arguments: Sequence[str],
    on_event: Emit,
    wanted: Callable[[], bool] = lambda: True,
    log: Location | None = None,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run a module with this interpreter as a child process until it ends.

    The child has the environment of `worker_environment`.

    Args:
        module: Import path; its `main` uses `child_reporter`.
        arguments: Command-line arguments of the module.
        on_event: Receives every report.
        wanted: Called once a second; the child is killed when it returns False.
        log: File for what the child prints, written in any case; secrets are masked.
        extra: Variables that are added to the child's environment.

    Raises:
        ChildError: the child ended with an error; the message contains the end of its output.
            Code `worker-process-failed`, fields `module` and `exit_code` (negative: the signal).
            Or its reports contain something else (`stray-output`).
    """
    environment = {**worker_environment(os.environ), **extra}
    lines: list[str] = []
    # A killed child cannot remove its temporary files.
    scratch = tempfile.TemporaryDirectory(prefix="overlap-child-", ignore_cleanup_errors=True)
    environment |= {"TMPDIR": scratch.name, "OVERLAP_PARENT_TMPDIR": tempfile.gettempdir()}
    with scratch:
        child = start_child(module, arguments, environment)
        reader = threading.Thread(
            target=lines.extend, args=(child.process.stdout or (),), daemon=True
        )
        reader.start()
        over = threading.Event()
        threading.Thread(
            target=_kill_unwanted, args=(child.process, wanted, over), daemon=True
        ).start()
        try:
            while (event := child.read_report()) is not None:
                on_event(event)
            code = child.process.wait()
        finally:
            over.set()
            child.close()
            reader.join(timeout=5)
            if child.process.stdout is not None and not reader.is_alive():
                child.process.stdout.close()
            if log is not None:
                log.write_bytes(masked("".join(lines)).encode())
    if code:
        end = "".join(deque(lines, TAIL_LINES)).strip()
        reason = f"{module} ended with {format_exit(code)}:\n{end}"
        raise ChildError(reason, module=module, exit_code=code)


def _kill_unwanted(
    child: subprocess.Popen[str], wanted: Callable[[], bool], over: threading.Event
) -> None:
    while not over.wait(WANTED_CHECK_SECONDS):
        if not wanted():
            child.kill()
            return
