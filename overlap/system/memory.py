"""Memory of a process: what it may still allocate on its machine, and its peak so far."""

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
"""Folder of Linux's control groups."""
OWN_GROUPS = Path("/proc/self/cgroup")
"""File that names the control groups of this process."""
STATUS = Path("/proc/self/status")
# Files of the limit and the usage, and the reclaimable part of the usage, per cgroup version.
VERSION_2 = "memory.max", "memory.current", "inactive_file"
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


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


def free_memory(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """Return the memory that this process may still allocate, bytes.

    Containers, pods and batch jobs are control groups with limits of their own, which the
    machine's figures do not include; the kernel kills a process that exceeds them.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    return min([int(psutil.virtual_memory().available), *_left(groups, own_groups)])


def _left(groups: Path, own_groups: Path) -> Iterator[int]:
    """Yield the memory left in each limited group above this process."""
    if not own_groups.exists():
        return
    for line in own_groups.read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if not controllers:
            root, names = groups, VERSION_2
        elif "memory" in controllers.split(","):
            root, names = groups / "memory", VERSION_1
        else:
            continue
        # Inside a container the path may be the host's; only folders that exist here count.
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                yield from _left_in(folder, *names)


def _left_in(folder: Path, limit: str, usage: str, reclaimable: str) -> Iterator[int]:
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / usage).read_text())
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
    except OSError:  # absent, as in the root of version 2, or not readable
        return
    if most != "max":
        yield max(0, int(most) - used + int(statistics.get(reclaimable, 0)))
