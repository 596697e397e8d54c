"""Worker processes: the parent starts and watches a child, the child reports to it.

The child writes its reports to standard output as JSON lines; everything else that is printed goes
to standard error. The child ends with its parent: the parent holds the other end of the child's
standard input, and when that closes, even by `kill -9`, the child exits at once. So a task that a
cluster repeats never trains at the same time as the process of an earlier attempt. The parent also
kills the child when nobody waits for its work any more.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any

from overlap.errors import ChildError, OverlapError
from overlap.io.location import Location
from overlap.redaction import masked
from overlap.system.allocator import with_retained_heap
from overlap.system.thread_limits import THREAD_VARIABLES

CHILD_ENV = "OVERLAP_CHILD"
"""Environment variable that marks a child of `run_child`."""
TAIL_LINES = 30
"""Lines of the child's output in an error message."""
WANTED_CHECK_SECONDS = 1.0
"""Time between calls of `wanted`."""


@contextmanager
def child_reporter() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Set up the child's end; yield the function that reports, and redirect prints to stderr."""
    if os.environ.get(CHILD_ENV):
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as report:
        os.dup2(2, 1)

        def emit(event: Mapping[str, Any]) -> None:
            report.write(json.dumps(event) + "\n")
            report.flush()

        yield emit


def child_main(work: Callable[[Callable[[Mapping[str, Any]], None]], None]) -> int:
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


def run_child(
    module: str,
    arguments: Sequence[str],
    on_event: Callable[[Mapping[str, Any]], None],
    wanted: Callable[[], bool] = lambda: True,
    log: Location | None = None,
    extra: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Run a module with this interpreter as a child process until it ends.

    The child does not inherit limits on threads, and it keeps the memory that it frees (see
    `overlap.system.allocator`).

    Args:
        module: Import path; its `main` uses `child_reporter`.
        arguments: Command-line arguments of the module.
        on_event: Receives every report.
        wanted: Called once a second; the child is killed when it returns False.
        log: File for the child's standard error, written in any case; secrets are masked.
        extra: Variables that are added to the child's environment.

    Raises:
        ChildError: the child ended with an error; the message contains the end of its output.
            Code `worker-process-failed`, fields `module` and `exit_code` (negative: the signal).
    """
    environment = with_retained_heap(
        {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    )
    environment |= {CHILD_ENV: "1", "PYTHONUNBUFFERED": "1", **extra}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    lines: list[str] = []
    # A killed child cannot remove its temporary files.
    scratch = tempfile.TemporaryDirectory(prefix="overlap-child-", ignore_cleanup_errors=True)
    environment |= {"TMPDIR": scratch.name, "OVERLAP_PARENT_TMPDIR": tempfile.gettempdir()}
    with (
        scratch,
        subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=environment,
        ) as child,
    ):
        reader = threading.Thread(target=lines.extend, args=(child.stderr or (),), daemon=True)
        reader.start()
        over = threading.Event()
        threading.Thread(target=_kill_unwanted, args=(child, wanted, over), daemon=True).start()
        try:
            for line in child.stdout or ():
                on_event(json.loads(line))
            code = child.wait()
        finally:
            over.set()
            child.kill()
            reader.join(timeout=5)
            if log is not None:
                log.write_bytes(masked("".join(lines)).encode())
    if code:
        reason = f"signal {-code}" if code < 0 else f"exit code {code}"
        end = "".join(deque(lines, TAIL_LINES)).strip()
        raise ChildError(f"{module} ended with {reason}:\n{end}", module=module, exit_code=code)


def _kill_unwanted(
    child: subprocess.Popen[str], wanted: Callable[[], bool], over: threading.Event
) -> None:
    while not over.wait(WANTED_CHECK_SECONDS):
        if not wanted():
            child.kill()
            return
