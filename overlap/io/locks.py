"""File locks between processes: the workspace's run lock, and exclusive locks on single files.

All locks are `flock` locks: the kernel releases them when their process ends, even by `kill -9`,
and no clock is involved. A file system without locks grants every lock at once, and object stores
have none: there, a Prefect server's concurrency limits keep scheduled runs apart, and the user
must keep other runs apart. Threads of one process exclude each other everywhere.
"""

import errno
import fcntl
import json
import os
import platform
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from overlap.errors import WorkspaceLockedError
from overlap.io.storage_errors import storage_errors
from overlap.io.workspace_paths import WorkspacePaths

if TYPE_CHECKING:  # it imports Zarr, which a process that only compiles does not need
    from overlap.io.location import Location

RETRY_SECONDS = 1.0
"""Time between attempts to acquire the run lock."""
WITHOUT_LOCKS = (errno.ENOLCK, errno.ENOTSUP, errno.ENOSYS)
"""Errors of a file system that has no locks."""

_holders: dict[str, object] = {}
"""Token of the run of this process that holds a run lock, by the address of the workspace."""
_holders_lock = threading.Lock()
_tokens: ContextVar[frozenset[object]] = ContextVar("overlap_run_locks", default=frozenset())
"""Tokens of the run to which this code belongs. A context, not a thread, is a run: Prefect hands
the context of a flow on to the threads of its tasks."""


@contextmanager
def exclusive(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on a file; wait while another process or thread holds it.

    Args:
        path: The lock's file, which is created and stays; its folder exists.

    Raises:
        OSError: the file cannot be written.
    """
    with path.open("ab") as file:
        _lock(file, wait=True)
        yield


@contextmanager
def run_lock(
    workspace: "Location", *, wait: bool = False, on_wait: Callable[[str], None] = lambda _: None
) -> Iterator[None]:
    """Hold the workspace's run lock; reentrant within a run, also in the threads of its tasks.

    Two runs that write one workspace at the same time would do the same work twice, and one could
    read what the other is replacing.

    Args:
        workspace: The workspace; its folder is created.
        wait: Whether to wait while another run holds the lock.
        on_wait: Called once with a message that names the holder, before waiting.

    Raises:
        WorkspaceLockedError: another run holds the lock, and `wait` is false.
        StorageError: the workspace cannot be written.
    """
    if holds_run_lock(workspace):
        yield
        return
    path, token, announced = WorkspacePaths(workspace).run_lock, object(), False
    while (held := _entered(workspace.url, path, token)) is None:
        about = {} if path is None else _holder(path)
        who = " (process {process} on {host}, since {since})".format(**about) if about else ""
        if not wait:
            raise WorkspaceLockedError(
                f"{workspace}: another run works on it{who}; wait until it has ended, or use "
                "another workspace",
                workspace=str(workspace),
                **about,
            )
        if not announced:
            on_wait(f"waits for the run that works on {workspace}{who}")
            announced = True
        time.sleep(RETRY_SECONDS)
    with held:
        _tokens.set(_tokens.get() | {token})
        held.callback(lambda: _tokens.set(_tokens.get() - {token}))
        yield


def holds_run_lock(workspace: "Location") -> bool:
    """Return whether the run to which the caller belongs holds the workspace's run lock."""
    return _holders.get(workspace.url) in _tokens.get()


def _entered(key: str, path: Path | None, token: object) -> ExitStack | None:
    """Take the run lock and return what releases it; None if another run holds it."""
    with _holders_lock:
        if key in _holders:
            return None
        _holders[key] = token
    with ExitStack() as held:
        held.callback(_holders.pop, key)
        if path is not None:
            file = _acquired(path)
            if file is None:
                return None
            held.callback(file.close)
            # Removed while locked: a process that has opened it already finds another inode.
            held.callback(path.unlink, missing_ok=True)
        return held.pop_all()


def _lock(file: IO[bytes], *, wait: bool) -> bool:
    """Lock an open file and return True; return False if it is locked and `wait` is false."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in WITHOUT_LOCKS:
            raise
    return True


def _acquired(path: Path) -> IO[bytes] | None:
    """Return the lock's file, locked by this process, or None if another process holds it."""
    while True:
        with storage_errors(path.parent), ExitStack() as undo:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = undo.enter_context(path.open("a+b"))
            if not _lock(file, wait=False):
                return None
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


def _holder(path: Path) -> dict[str, Any]:
    """Return process, host and start of the lock's holder; empty if they are unknown."""
    try:
        about = json.loads(path.read_bytes())
        return {name: about[name] for name in ("process", "host", "since")}
    except (OSError, ValueError, LookupError, TypeError):
        return {}
