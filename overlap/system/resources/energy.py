"""Energy used by devices and machines that have counters for it."""

import socket
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overlap.system.resources.accelerators import asked_of_nvml

RAPL = Path("/sys/class/powercap")
"""Folder of Linux's energy counters of processors; usually readable by root only."""


def energy_joules() -> float | None:
    """Return the device's energy counter, joules, or None if it has none that can be read.

    The counter is that of the accelerators (NVML) if there are any, else that of the processors.
    It includes the work of all processes, and only differences are meaningful.
    """
    accelerators = _nvml_joules()
    return accelerators if accelerators is not None else processor_joules()


def _nvml_joules() -> float | None:
    return asked_of_nvml(
        lambda nvml, seen: sum(nvml.nvmlDeviceGetTotalEnergyConsumption(h) for h in seen) / 1000
    )


def processor_joules() -> float | None:
    """Return the energy counter of this machine's processors, joules, or None without one."""
    packages = sorted(RAPL.glob("intel-rapl:[0-9]")) if RAPL.is_dir() else []
    with suppress(OSError, ValueError):
        counters = [int((package / "energy_uj").read_text()) for package in packages]
        return sum(counters) / 1e6 if counters else None
    return None


@dataclass(frozen=True)
class Readings:
    """The energy counter of a machine's processors before and after some work."""

    host: str
    before: float | None
    """Joules; None if the machine has no counter."""
    after: float | None

    @classmethod
    def since(cls, before: float | None) -> "Readings":
        """Complete a reading with this machine's counter as it is now."""
        return cls(socket.gethostname(), before, processor_joules())


def joules_of(readings: Iterable[Readings | None]) -> float | None:
    """Return the energy of work that ran in parallel, from its first reading to its last.

    Args:
        readings: Readings of all parts of the work, on any number of machines, in any order; None
            for a part without a reading.

    Returns:
        Joules of all machines, including their other work; None if a machine has no counter or its
        counter was reset.

    Examples:
        >>> joules_of([Readings("a", 5, 9), Readings("a", 6, 8), Readings("b", 1, 2)])
        5
    """
    ends = defaultdict[str, list[float]](list)
    for one in readings:
        if one is None or one.before is None or one.after is None or one.after < one.before:
            return None
        ends[one.host] += [one.before, one.after]
    return sum(max(found) - min(found) for found in ends.values()) if ends else None


def watt_hours(joules: float) -> str:
    """Format an amount of energy.

    Examples:
        >>> watt_hours(7200)
        '2.0 Wh'
    """
    return f"{joules / 3600:,.1f} Wh"
