"""Limit BLAS to one thread, even when several threads of a worker compute features."""

import threading
from typing import Self

from threadpoolctl import threadpool_limits


class BlasLimit:
    """Limits the process's BLAS to one thread while any thread is in the context.

    `threadpool_limits` alone changes a process-wide value: the first of two threads to leave the
    context would lift the limit while the second still needs it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._entered = 0
        self._limits: threadpool_limits | None = None

    def __enter__(self) -> Self:
        with self._lock:
            if not self._entered:
                self._limits = threadpool_limits(1)
            self._entered += 1
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._entered -= 1
            if not self._entered and self._limits is not None:
                self._limits.restore_original_limits()
                self._limits = None


ONE_BLAS_THREAD = BlasLimit()
