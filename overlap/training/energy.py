"""Energy that the device has used, where it tells."""

from contextlib import suppress
from pathlib import Path

from overlap.accelerators import asked_of_nvml

RAPL = Path("/sys/class/powercap")
"""Where Linux shows the energy counters of processors; mostly readable by root alone."""


def energy_joules() -> float | None:
    """A counter of the energy used by the device, joules; None where none can be read.

    The accelerators' counter (NVML) if there is one, else the processors'. It counts all that
    the device does, for whomever; only differences mean something.
    """
    accelerators = _nvml_joules()
    return accelerators if accelerators is not None else _rapl_joules()


def _nvml_joules() -> float | None:
    return asked_of_nvml(
        lambda nvml, seen: sum(nvml.nvmlDeviceGetTotalEnergyConsumption(h) for h in seen) / 1000
    )


def _rapl_joules() -> float | None:
    packages = sorted(RAPL.glob("intel-rapl:[0-9]")) if RAPL.is_dir() else []
    with suppress(OSError, ValueError):
        counters = [int((package / "energy_uj").read_text()) for package in packages]
        return sum(counters) / 1e6 if counters else None
    return None
