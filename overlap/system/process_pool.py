"""A pool of processes that ends at once when its work is no longer wanted."""

import os
import pickle
import signal
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import IO, Any

from overlap.errors import ChildError
from overlap.io.formatting import format_exit


class _RecordedContext(SpawnContext):
    """Spawns processes and remembers them; `ProcessPoolExecutor` hides its own until 3.14."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: ANN401, N802
        process = SpawnProcess(*arguments, **options)
        self.started.append(process)
        return process


class _Initializer:
    """A function that a starting process reads from a file of its own.

    What `multiprocessing` sends itself goes through a pipe. If it is more than the pipe takes, and
    the process ends before it has read it, the parent waits forever.

    Args:
        function: Called in the process.
        files: Keeps the files open.
    """

    def __init__(self, function: Callable[[], object], files: ExitStack) -> None:
        self._function, self._files = function, files

    def __call__(self) -> object:  # the pool checks that there is one; processes call the function
        return self._function()

    def __reduce__(self) -> tuple[Any, ...]:
        file = self._files.enter_context(_anonymous_file())
        file.write(ForkingPickler.dumps(self._function))
        file.flush()
        return _received, (DupFd(file.fileno()),)


def _received(descriptor: Any) -> Callable[[], object]:  # noqa: ANN401  multiprocessing has no type for it
    with os.fdopen(descriptor.detach(), "rb") as file:
        file.seek(0)
        function: Callable[[], object] = pickle.load(file)  # noqa: S301  written by the parent
        return function


def _anonymous_file() -> IO[bytes]:
    """Return a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("overlap"), "w+b")
    return tempfile.TemporaryFile()


@contextmanager
def process_pool(workers: int, initializer: Callable[[], object]) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes have ended, by themselves or killed, when the block has ended.

    If the block fails or is interrupted, running jobs are killed instead of awaited: on a loaded
    machine they would outlast the time that an interrupted command has to clean up. No job may be
    cancelled, because a pool whose processes were killed fails on cancelled jobs.

    Args:
        workers: Number of processes.
        initializer: Called once in each process.

    Raises:
        ChildError: A process ended early; code `worker-process-failed`, fields `module` and
            `exit_code` (negative: the signal; None: unknown).
    """
    context = _RecordedContext()
    with ExitStack() as files:
        pool = ProcessPoolExecutor(workers, context, _Initializer(initializer, files))
        try:
            yield pool
        except BrokenProcessPool as error:
            pool.shutdown(wait=True)  # the exit codes are known afterwards
            raise _failure(context.started) from error
        except BaseException:
            for process in context.started:
                if process.pid is not None:
                    process.kill()
            raise
        finally:
            pool.shutdown(wait=True)


def _failure(started: list[SpawnProcess]) -> ChildError:
    """Return the error about a process that ended early; the pool terminated the others."""
    codes = [process.exitcode for process in started if process.exitcode]
    code = next((code for code in codes if code != -signal.SIGTERM), None)
    how = "early" if code is None else f"with {format_exit(code)}"
    advice = (
        "it may have had too little memory; free some, and run again"
        if code is None or code < 0
        else "a Python script that starts processes must do so below `if __name__ == '__main__':`"
    )
    return ChildError(
        f"a process of the pool ended {how}; {advice}",
        code="worker-process-failed", module=__name__, exit_code=code,
    )  # fmt: skip
