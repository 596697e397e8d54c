"""Environment of the GNU C library's allocator for processes that train and predict.

By default glibc maps a large buffer when it is allocated and returns it to the kernel when it is
freed. A training step allocates and frees the same buffers every time, so it pays a page fault
for every 4 KiB of them, every time. The settings here keep freed memory in the process, in huge
pages where the kernel offers them. Other C libraries ignore these variables.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Final

RETAIN: Final[Mapping[str, str]] = {
    "MALLOC_MMAP_MAX_": "0",  # no buffer is mapped on its own
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),  # the heap does not shrink
    "MALLOC_TOP_PAD_": str(256 << 20),  # the heap grows in few steps
    "MALLOC_ARENA_MAX": "1",  # every thread reuses the buffers of all others
}
"""Variables that keep freed memory in the process."""
HUGE_PAGES: Final = "glibc.malloc.hugetlb=1"
"""Tunable that asks the kernel for transparent huge pages; glibc 2.35 and newer."""
TUNABLES: Final = "GLIBC_TUNABLES"
NANNY_TRIM: Final = ("MALLOC_TRIM_THRESHOLD_", "65536")
"""Variable that Dask's nanny sets in every worker, so that idle workers return memory."""


def glibc_version() -> tuple[int, int] | None:
    """Return the version of the GNU C library in use, or None with any other C library."""
    # macOS and musl do not know the name, or return no value for it.
    with suppress(ValueError, OSError, AttributeError):
        found = re.fullmatch(r"glibc (\d+)\.(\d+).*", os.confstr("CS_GNU_LIBC_VERSION") or "")
        return (int(found[1]), int(found[2])) if found else None
    return None


def with_retained_heap(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which a process keeps the memory that it frees.

    Variables that are set keep their values, and an allocator that is configured through
    `GLIBC_TUNABLES` is left alone. The one exception is the trim threshold of Dask's nanny, which
    is recognised by its value because a worker cannot see who set it.

    Args:
        environment: Environment of the parent process.

    Examples:
        >>> with_retained_heap({"MALLOC_ARENA_MAX": "2"})["MALLOC_ARENA_MAX"]
        '2'
    """
    kept = {name: value for name, value in environment.items() if (name, value) != NANNY_TRIM}
    tunables = kept.get(TUNABLES, "")
    if "glibc.malloc." in tunables:
        return kept
    version = glibc_version()
    if version is not None and version >= (2, 35):
        kept[TUNABLES] = f"{tunables}:{HUGE_PAGES}" if tunables else HUGE_PAGES
    return {**RETAIN, **kept}
