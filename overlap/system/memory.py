"""How much memory a process may still take: of its machine, and of its container or batch job."""

from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS = Path("/sys/fs/cgroup")
OWN_GROUPS = Path("/proc/self/cgroup")
# Limit, use, and what of the use the kernel gives back first, in the second version and the first.
VERSION_2 = "memory.max", "memory.current", "inactive_file"
VERSION_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"


def free_memory(groups: Path = GROUPS, own_groups: Path = OWN_GROUPS) -> int:
    """What this process may still take, bytes.

    A container, a pod and a batch job are control groups with a limit each, of which the figures
    of the machine know nothing; what takes more than it is killed.

    Args:
        groups: Where Linux shows its control groups.
        own_groups: The file that names those of this process.
    """
    return min([int(psutil.virtual_memory().available), *_left(groups, own_groups)])


def _left(groups: Path, own_groups: Path) -> Iterator[int]:
    """What each group above this process leaves."""
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
        # Inside a container the path may be the one that the machine knows: what exists counts.
        group = root / path.strip("/")
        for folder in (group, *group.parents):
            if folder.is_relative_to(root):
                yield from _left_by(folder, *names)


def _left_by(folder: Path, limit: str, use: str, spare: str) -> Iterator[int]:
    try:
        most, used = (folder / limit).read_text().strip(), int((folder / use).read_text())
        statistics = dict(
            line.split() for line in (folder / "memory.stat").read_text().splitlines()
        )
    except OSError:  # not there, as at the top of version 2, or not for us
        return
    if most != "max":
        yield max(0, int(most) - used + int(statistics.get(spare, 0)))
