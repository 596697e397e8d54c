"""Processors that this process may use, as opposed to those of its machine."""

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from overlap.system.resources.control_groups import GROUPS, OWN_GROUPS, processor_quotas
from overlap.system.thread_limits import THREAD_VARIABLES

SLURM: Final = "SLURM_CPUS_PER_TASK"
"""Variable of a Slurm job. Where Slurm neither pins nor limits its jobs, nothing else shows it."""


def usable_processors(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Return the number of processors that this process may use, at least 1.

    It is the smallest of the processors that the process is pinned to (`taskset`, cpusets), the
    quotas of its control groups (`docker --cpus`, limits of pods and units), rounded up as in
    Dask, and the processors of its Slurm task.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    quotas = [math.ceil(quota) for quota in processor_quotas(groups, own_groups)]
    return max(1, min([pinned_processors(), *quotas, *_slurm(os.environ)]))


def pinned_processors() -> int:
    """Return the number of processors that this process is pinned to."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13; obeys PYTHON_CPU_COUNT too
        return int(os.process_cpu_count() or 1)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def processor_share(processes: int) -> int:
    """Return the number of processors for one of several processes, at least 1.

    Args:
        processes: Processes that share the processors.
    """
    return max(1, usable_processors() // processes)


def thread_environment(processes: int = 1) -> dict[str, str]:
    """Return variables that limit the threads of a process to its processors.

    Numerical libraries start one thread per processor that a process is pinned to. That is right
    without a quota and without other processes, and the variables are then left out.

    Args:
        processes: Processes that share the processors.
    """
    threads = processor_share(processes)
    return {} if threads >= pinned_processors() else dict.fromkeys(THREAD_VARIABLES, str(threads))


def _slurm(environment: Mapping[str, str]) -> list[int]:
    value = environment.get(SLURM, "")
    return [int(value)] if value.isascii() and value.isdigit() and int(value) else []
