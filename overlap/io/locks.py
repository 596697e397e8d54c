"""One run at a time on a workspace, told by a lock that ends with the process that has it.

Two runs that write one workspace at once would do the same work twice, and one could read what the
other is replacing. The lock is one of the file system, held by the process of the flow: `kill -9`
gives it back, and no clock is asked. An object store has no such locks: there, runs that a Prefect
server starts take turns by its limits, and others are the user's to order.
"""

import errno
import fcntl
import json
import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from overlap.errors import WorkspaceLockedError
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors
from overlap.io.workspace_paths import WorkspacePaths

RETRY_SECONDS = 1.0
"""How often a run that waits tries again."""

_mine: set[Path] = set()
"""What this process has."""


@contextmanager
def run_lock(
    workspace: Location, *, wait: bool = False, on_wait: Callable[[str], None] = lambda _who: None
) -> Iterator[None]:
    """Be the only run on a workspace meanwhile; a stage of a run that has it is part of that.

    Args:
        workspace: The workspace; its folder is made.
        wait: Whether to wait for another run.
        on_wait: Told once who has it, before the wait.

    Raises:
        WorkspaceLockedError: another run works on it, and `wait` is false.
        StorageError: the workspace cannot be written.
    """
    path = WorkspacePaths(workspace).run_lock
    if path is None or path in _mine:
        yield
        return
    with ExitStack() as held:
        told = False
        while (file := _taken(path)) is None:
            who = _holder(path)
            if not wait:
                raise WorkspaceLockedError(
                    f"{workspace}: another run works on it{who}; start again when it has ended, "
                    "or name another workspace"
                )
            if not told:
                on_wait(f"waits for the run that works on {workspace}{who}")
                told = True
            time.sleep(RETRY_SECONDS)
        held.callback(file.close)
        # Removed while it is held: who opened it before finds that it is another file now.
        held.callback(path.unlink, missing_ok=True)
        held.callback(_mine.discard, path)
        _mine.add(path)
        yield


def _taken(path: Path) -> IO[bytes] | None:
    """The lock's file, locked by this process; None where another has it."""
    while True:
        with storage_errors(path.parent), ExitStack() as undo:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = undo.enter_context(path.open("a+b"))
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return None
            except OSError as error:
                if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS):
                    raise  # else a disk without locks: runs are the user's to order
            with suppress(FileNotFoundError):
                if path.stat().st_ino == os.fstat(file.fileno()).st_ino:
                    about = {
                        "process": os.getpid(),
                        "host": platform.node(),
                        "since": f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC",
                    }
                    file.truncate(0)
                    file.write(json.dumps(about).encode())
                    file.flush()
                    undo.pop_all()
                    return file


def _holder(path: Path) -> str:
    """Who has the lock, in words; nothing where it is not known."""
    try:
        about = json.loads(path.read_bytes())
        return f" (process {about['process']} on {about['host']}, since {about['since']})"
    except (OSError, ValueError, LookupError, TypeError):
        return ""
