"""Limits of the control groups of a process: memory and processors.

Containers, pods and batch jobs are control groups with limits of their own, which the machine's
figures do not include. Version 1 has a tree of groups per controller, version 2 one tree; a limit
of any group above a process holds for it.
"""

from collections.abc import Iterator
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")
"""Folder of Linux's control groups."""
OWN_GROUPS = Path("/proc/self/cgroup")
"""File that names the control groups of this process."""
# Files of the limit and the usage, and the reclaimable part of the usage, per cgroup version.
MEMORY_2 = "memory.max", "memory.current", "inactive_file"
MEMORY_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
# Files with the quota and the period of processor time, µs.
QUOTA_2 = "cpu.max"
QUOTA_1 = "cpu.cfs_quota_us", "cpu.cfs_period_us"


def memory_left(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> Iterator[int]:
    """Yield the memory left in each group with a limit above this process, bytes.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    for folder, version, limit in _memory_groups(groups, own_groups):
        _, usage, reclaimable = MEMORY_2 if version == 2 else MEMORY_1
        try:
            used = int((folder / usage).read_text())
            statistics = (folder / "memory.stat").read_text().splitlines()
        except OSError:  # not readable
            continue
        reclaimed = dict(line.split() for line in statistics).get(reclaimable, 0)
        yield max(0, limit - used + int(reclaimed))


def memory_limits(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> Iterator[int]:
    """Yield the limit of each group with a limit of memory above this process, bytes.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    for _, _, limit in _memory_groups(groups, own_groups):
        yield limit


def processor_quotas(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> Iterator[float]:
    """Yield the processors of each group with a quota above this process, such as 1.5.

    Args:
        groups: Folder of Linux's control groups.
        own_groups: File that names the control groups of this process.
    """
    for folder, version in _groups_above("cpu", groups, own_groups):
        try:
            if version == 2:
                quota, period = (folder / QUOTA_2).read_text().split()
            else:
                quota, period = ((folder / name).read_text().strip() for name in QUOTA_1)
            if quota != "max" and int(quota) > 0 and int(period) > 0:  # -1: no quota
                yield int(quota) / int(period)
        except (OSError, ValueError):  # absent, as in the root of version 2, or not readable
            continue


def _memory_groups(groups: Path, own_groups: Path) -> Iterator[tuple[Path, int, int]]:
    """Yield folder, version and limit, bytes, of each group with a limit of memory."""
    for folder, version in _groups_above("memory", groups, own_groups):
        try:
            limit = (folder / (MEMORY_2 if version == 2 else MEMORY_1)[0]).read_text().strip()
        except OSError:  # absent, as in the root of version 2, or not readable
            continue
        if limit != "max":
            yield folder, version, int(limit)


def _groups_above(controller: str, groups: Path, own_groups: Path) -> Iterator[tuple[Path, int]]:
    """Yield the folder and version of each group of this process and of each group above it."""
    try:
        lines = own_groups.read_text().splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            # The second folder is that of a machine with both versions.
            found = [(groups, 2), (groups / "unified", 2)]
        elif controller in (names := controllers.split(",")):
            # The folder has the name of the controller or of all that share it, in some order.
            folders = {controller, controllers, ",".join(reversed(names))}
            found = [(groups / folder, 1) for folder in sorted(folders)]
        else:
            continue
        for root, version in found:
            # Inside a container the path may be the host's; only folders that exist here count.
            group = root / path.strip("/")
            for folder in (group, *group.parents):
                if folder.is_relative_to(root):
                    yield folder, version
