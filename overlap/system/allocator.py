"""Environment of the GNU C library's allocator for processes that train and predict.

By default glibc maps a large buffer when it is allocated and returns it to the kernel when it is
freed. A training step allocates and frees the same buffers every time, and then pays a page fault
for every 4 KiB of them, every time. glibc adapts its thresholds to such a program, but only to
buffers of 32 MiB, and not at all once a threshold is set, as Dask's nanny does. The settings here
keep freed memory in the process, in huge pages where the kernel offers them. glibc reads them when
a program starts, so they must be in the environment before that. Other C libraries have other
allocators, and get none of them.
"""

import os
import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Setting:
    """A setting of glibc's allocator."""

    variable: str
    tunable: str
    """Its name in `GLIBC_TUNABLES`, which takes precedence over the variable."""
    value: str


RETAIN: Final = (
    # No buffer is mapped on its own. A high threshold instead would not do: glibc accepts 32 MiB
    # at most, and the activations of a batch are larger.
    Setting("MALLOC_MMAP_MAX_", "glibc.malloc.mmap_max", "0"),
    # The heap does not shrink while less than 16 GiB at its end are free, more than a step frees.
    # The default of 128 KiB would return the buffers of every step.
    Setting("MALLOC_TRIM_THRESHOLD_", "glibc.malloc.trim_threshold", str(16 << 30)),
    # The heap grows by 256 MiB more than is needed: few calls of the kernel, and space for whole
    # huge pages. It is address space: memory is used when it is written to.
    Setting("MALLOC_TOP_PAD_", "glibc.malloc.top_pad", str(256 << 20)),
    # Every thread reuses the buffers that the others freed. With more arenas each keeps its own
    # free buffers, and those above 64 MiB, the largest heap of a further arena, are mapped on
    # their own again, whatever `mmap_max` is.
    Setting("MALLOC_ARENA_MAX", "glibc.malloc.arena_max", "1"),
)
"""Settings that keep freed memory in the process; docs/experiments.md has the measurements."""
TUNABLES: Final = "GLIBC_TUNABLES"
HUGE_PAGES: Final = ("glibc.malloc.hugetlb", "1")
"""Tunable that asks the kernel for transparent huge pages, with `madvise`: one page fault for 2 MiB
instead of one for 4 KiB, where the kernel offers them. It has no variable of its own."""
HUGE_PAGES_SINCE: Final = (2, 35)
"""Version of glibc."""
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

    A setting of the user stays, as a variable or in `GLIBC_TUNABLES`. The one exception is the trim
    threshold of Dask's nanny, which is recognised by its value because a worker cannot see who set
    it.

    Args:
        environment: Environment of the parent process.

    Examples:
        >>> with_retained_heap({"MALLOC_ARENA_MAX": "2"})["MALLOC_ARENA_MAX"]
        '2'
    """
    kept = {name: value for name, value in environment.items() if (name, value) != NANNY_TRIM}
    version = glibc_version()
    if version is None:
        return kept
    tunables = kept.get(TUNABLES, "").strip(":")
    named = {entry.partition("=")[0] for entry in tunables.split(":")}
    for setting in RETAIN:
        if setting.tunable not in named:
            kept.setdefault(setting.variable, setting.value)
    if version >= HUGE_PAGES_SINCE and HUGE_PAGES[0] not in named:
        kept[TUNABLES] = ":".join(filter(None, (tunables, "=".join(HUGE_PAGES))))
    return kept


def without_memory_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment in which nothing configures the allocator, as of a user's script."""
    variables = {TUNABLES, *(setting.variable for setting in RETAIN)}
    return {name: value for name, value in environment.items() if name not in variables}
