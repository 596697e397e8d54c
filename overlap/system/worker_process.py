"""The two ends of a child process: the parent that starts and watches, the child that reports.

The child writes JSON lines to the standard output it was given; whatever else is printed goes to
standard error. It ends when its parent does: the parent holds the other end of its standard
input, and when that closes, even by `kill -9`, the child leaves at once. So a task that a
cluster runs again never trains beside its own leftover. It is also killed when the parent is told
that nobody waits for it any more.
"""

import json
import os
import subprocess
import sys
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
TAIL_LINES = 30
WANTED_CHECK_SECONDS = 1.0


@contextmanager
def child_reporter() -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """Be the child: yields the function that reports; prints go to standard error meanwhile."""
    if os.environ.get(CHILD_ENV):
        threading.Thread(target=_leave_with_parent, daemon=True).start()
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as report:
        os.dup2(2, 1)

        def emit(event: Mapping[str, Any]) -> None:
            report.write(json.dumps(event) + "\n")
            report.flush()

        yield emit


def child_main(work: Callable[[Callable[[Mapping[str, Any]], None]], None]) -> int:
    """Be a child that does one thing; the exit code. What it failed with is its last output.

    Args:
        work: Given the function that reports.
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
    """Be the parent: run a module with this interpreter until it ends.

    Args:
        module: Import path; its `main` uses `child_reporter`.
        arguments: Its arguments.
        on_event: Receives every report.
        wanted: Asked once a second; the child is killed when it says no.
        log: Where the child's standard error is kept, whatever happens; without secrets.
        extra: Added to its environment.

    Raises:
        ChildError: it ended with an error; the message holds the end of its output.
    """
    environment = with_retained_heap(
        {name: value for name, value in os.environ.items() if name not in THREAD_VARIABLES}
    )
    environment |= {CHILD_ENV: "1", "PYTHONUNBUFFERED": "1", **extra}
    environment.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    lines: list[str] = []
    with subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
        env=environment,
    ) as child:
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
        raise ChildError(f"{module} ended with {reason}:\n{end}")


def _kill_unwanted(
    child: subprocess.Popen[str], wanted: Callable[[], bool], over: threading.Event
) -> None:
    while not over.wait(WANTED_CHECK_SECONDS):
        if not wanted():
            child.kill()
            return
