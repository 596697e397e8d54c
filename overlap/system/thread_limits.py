"""Limits on the threads of numerical libraries: for a whole process, and for a block of code."""

import threading
from typing import Final, Self

from threadpoolctl import threadpool_limits

THREAD_VARIABLES: Final = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"),
    *("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"),
    "NPROC",  # JAX
)
"""Environment variables that limit the threads of a process's numerical libraries."""


class BlasLimit:
    """Limits the process's BLAS to one thread while any thread is inside the block.

    `threadpool_limits` alone sets a value of the whole process: the first of two threads to
    leave would lift the limit for the second.
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
"""The limit of this process."""
