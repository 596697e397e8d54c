"""A pool of processes that ends at once when its work is no longer wanted."""

from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any


class _RecordedContext(SpawnContext):
    """Spawns processes and remembers them; `ProcessPoolExecutor` hides its own until 3.14."""

    def __init__(self) -> None:
        super().__init__()
        self.started: list[SpawnProcess] = []

    def Process(self, *arguments: Any, **options: Any) -> SpawnProcess:  # type: ignore[override]  # noqa: ANN401, N802
        process = SpawnProcess(*arguments, **options)
        self.started.append(process)
        return process


@contextmanager
def process_pool(workers: int, initializer: Callable[[], object]) -> Iterator[ProcessPoolExecutor]:
    """A pool whose processes have ended, by themselves or killed, when the block has ended.

    If the block fails or is interrupted, running jobs are killed instead of awaited: on a loaded
    machine they would outlast the time that an interrupted command has to clean up. No job may be
    cancelled, because a pool whose processes were killed fails on cancelled jobs.

    Args:
        workers: Number of processes.
        initializer: Called once in each process.
    """
    context = _RecordedContext()
    pool = ProcessPoolExecutor(workers, context, initializer)
    try:
        yield pool
    except BaseException:
        for process in context.started:
            if process.pid is not None:
                process.kill()
        raise
    finally:
        pool.shutdown(wait=True)
