"""Memory of a process: what it may still allocate, its peak so far, and its page faults."""

import resource
import sys
from pathlib import Path

import psutil

from overlap.system.resources.control_groups import GROUPS, OWN_GROUPS, memory_left, memory_limits

PEAK_RESET = Path("/proc/self/clear_refs")
STATUS = Path("/proc/self/status")


def peak_memory_mb() -> float:
    """Return the largest resident memory of this process so far, MB.

    Linux reports it for the current program. `getrusage` includes the memory of the process before
    it executed this program, which may be that of a large parent.
    """
    if STATUS.exists():
        lines = STATUS.read_text().splitlines()
        return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1e3
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1e6 if sys.platform == "darwin" else peak / 1e3


def unreclaimable_memory_mb() -> float:
    """Return the resident memory of this process that belongs to no file on a disk, MB.

    The kernel takes pages of files out of memory where it needs the space, but not these, unless it
    swaps. Where it does not report them (outside Linux), all resident memory counts.
    """
    if not STATUS.exists():
        return float(psutil.Process().memory_info().rss) / 1e6
    kinds = ("RssAnon:", "RssShmem:")
    lines = STATUS.read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith(kinds)) / 1e3


def forget_peak_memory() -> bool:
    """Let `peak_memory_mb` count from now on; return whether the kernel can do that (Linux)."""
    try:
        PEAK_RESET.write_text("5")
    except OSError:
        return False
    return True


def page_faults() -> int:
    """Return how often this process so far received a page from the kernel, without a disk.

    The kernel clears the page first, so this is the cost of memory that a process frees and
    allocates again.
    """
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def memory_limit(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Return the memory that this process and its neighbours may use in all, bytes.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    return min([int(psutil.virtual_memory().total), *memory_limits(groups, own_groups)])


def free_memory(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Return the memory that this process may still allocate, bytes.

    Containers, pods and batch jobs are control groups with limits of their own, which the
    machine's figures do not include; the kernel kills a process that exceeds them.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    return min([int(psutil.virtual_memory().available), *memory_left(groups, own_groups)])
