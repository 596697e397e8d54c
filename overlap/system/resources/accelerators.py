"""Accelerators of this machine and their memory, without loading a training framework."""

import os
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from itertools import takewhile
from pathlib import Path
from typing import Any, Final

SHARE = "OVERLAP_ACCELERATOR_SHARE"
"""Environment variable with the fraction of an accelerator's memory that a process may use."""
NODES: Final = Path("/dev")
"""Folder of device files."""
USABLE = 0.92
"""Usable fraction of an accelerator's memory; the driver and the libraries need the rest."""


def shared_by(members: int) -> Mapping[str, str]:
    """Return the environment of a process that shares an accelerator.

    Args:
        members: Processes that use the accelerator.

    Examples:
        >>> shared_by(2)["OVERLAP_ACCELERATOR_SHARE"]
        '0.460'
    """
    if members == 1:
        return {}
    share = f"{USABLE / members:.3f}"
    return {SHARE: share, "XLA_PYTHON_CLIENT_MEM_FRACTION": share}


def visible_accelerators() -> list[str]:
    """Return the indexes of the NVIDIA accelerators that this process may use.

    They come from `nvidia-smi`, because a training framework would allocate their memory. As in
    CUDA, the first name in CUDA_VISIBLE_DEVICES that no device has ends the list: a name without a
    driver is no accelerator.
    """
    devices, chosen = _devices(), _chosen()
    if chosen is None:
        return [*devices]
    return [*takewhile(lambda name: _is_device(name, devices), chosen)]


def _devices(nodes: Path = NODES) -> dict[str, str]:
    """Return the UUIDs of the devices that the driver reports, by their indexes.

    A container may have the driver without `nvidia-smi`; the UUIDs are then empty.

    Args:
        nodes: Folder of the driver's device files.
    """
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index,uuid", "--format=csv,noheader"],  # noqa: S607
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip
    except FileNotFoundError:
        return {str(index): "" for index, _ in enumerate(nodes.glob("nvidia[0-9]*"))}
    except (OSError, subprocess.SubprocessError):
        return {}
    rows = (line.split(",") for line in listed.splitlines() if "," in line)
    return {index.strip(): uuid.strip() for index, uuid, *_ in rows}


def _is_device(name: str, devices: Mapping[str, str]) -> bool:
    """Return whether a name in CUDA_VISIBLE_DEVICES is that of a device."""
    if name.isdigit():
        return str(int(name)) in devices
    if name.startswith("MIG-"):  # part of a device; `nvidia-smi` lists whole devices
        return bool(devices)
    # CUDA accepts the beginning of a UUID.
    return name.startswith("GPU-") and any(
        not uuid or uuid.startswith(name) for uuid in devices.values()
    )


def asked_of_nvml(question: Callable[[Any, list[Any]], float]) -> float | None:
    """Return an answer of the driver, or None without an accelerator or an answer.

    Args:
        question: Called with the NVML module and the handles of the visible accelerators.
    """
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            handles = nvml_handles(pynvml)
            return question(pynvml, handles) if handles else None
    return None


def accelerator_bytes() -> int:
    """Return the memory of the visible accelerator, bytes; 0 if there is none or it is unknown."""
    return int(asked_of_nvml(lambda nvml, seen: nvml.nvmlDeviceGetMemoryInfo(seen[0]).total) or 0)


def usable_bytes() -> int:
    """Return the accelerator memory that this process may use, bytes; 0 if there is none."""
    return int(accelerator_bytes() * float(os.environ.get(SHARE, USABLE)))


def nvml_handles(nvml: Any) -> list[Any]:  # noqa: ANN401  a module
    """Return NVML's handles of the accelerators that CUDA_VISIBLE_DEVICES makes visible."""
    chosen = _chosen()
    if chosen is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(name.encode())
        for name in chosen
    ]


def _chosen() -> list[str] | None:
    """Return the accelerators that CUDA_VISIBLE_DEVICES names, or None (all) if it is unset."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return None
    names = [name.strip() for name in listed.split(",")]
    return [*takewhile(lambda name: name not in ("", "-1"), names)]  # as in CUDA
