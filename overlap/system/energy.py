"""Energy that devices and machines have used, where they tell."""

import socket
from collections import defaultdict
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from overlap.system.accelerators import asked_of_nvml

RAPL = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of processors; mostly readable by root alone."""


def energy_joules() -> float | None:
    """A counter of the energy used by the device, joules; None where none can be read.

    The accelerators' counter (NVML) if there is one, else the processors'. It counts all that
    the device does, for whomever; only differences mean something.
    """
    accelerators = _nvml_joules()
    return accelerators if accelerators is not None else processor_joules()


def _nvml_joules() -> float | None:
    return asked_of_nvml(
        lambda nvml, seen: sum(nvml.nvmlDeviceGetTotalEnergyConsumption(h) for h in seen) / 1000
    )


def processor_joules() -> float | None:
    """A counter of the energy used by this machine's processors, joules; None without one."""
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
    """Joules; None where the machine does not tell."""
    after: float | None

    @classmethod
    def since(cls, before: float | None) -> "Readings":
        """With what the counter of this machine says now."""
        return cls(socket.gethostname(), before, processor_joules())


def joules_of(readings: Iterable[Readings | None]) -> float | None:
    """Energy from the first to the last of some work that was done side by side.

    Args:
        readings: Of every part of the work, on any number of machines, in any order; None for a
            part of which nothing is known.

    Returns:
        Joules of all machines, whatever else they did; None where one does not tell, or its
        counter began anew meanwhile.

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
    """Energy as a person reads it.

    Examples:
        >>> watt_hours(7200)
        '2.0 Wh'
    """
    return f"{joules / 3600:,.1f} Wh"
