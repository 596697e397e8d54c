"""One thread of BLAS at a time, also where several threads of a worker compute features."""

import threading
from typing import Self

from threadpoolctl import threadpool_limits


class BlasLimit:
    """Holds the process's BLAS to one thread while anyone is inside.

    `threadpool_limits` alone sets a value of the whole process: the first of two threads to
    leave would lift the limit under the second.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limits: threadpool_limits | None = None

    def __enter__(self) -> Self:
        with self._lock:
            if not self._inside:
                self._limits = threadpool_limits(1)
            self._inside += 1
        return self

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside and self._limits is not None:
                self._limits.restore_original_limits()
                self._limits = None


ONE_BLAS_THREAD = BlasLimit()
