"""Accelerators of this machine, and how members share one; loads no training framework."""

import os
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

SHARE = "OVERLAP_ACCELERATOR_SHARE"
"""Environment variable: the fraction of an accelerator's memory that a process may use."""
USABLE = 0.92
"""Of an accelerator's memory; the rest is the driver's and the libraries'."""


def shared_by(members: int) -> Mapping[str, str]:
    """Environment of a process that trains a member beside others.

    Args:
        members: Processes that use one accelerator.

    Examples:
        >>> shared_by(2)["OVERLAP_ACCELERATOR_SHARE"]
        '0.460'
    """
    if members == 1:
        return {}
    share = f"{USABLE / members:.3f}"
    return {SHARE: share, "XLA_PYTHON_CLIENT_MEM_FRACTION": share}


def visible_accelerators() -> list[str]:
    """Indexes of the NVIDIA accelerators that this process may use.

    Asks the driver's own tool, because a training framework would claim their memory.
    """
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return [part for part in chosen.split(",") if part.strip() not in ("", "-1")]
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def accelerator_bytes() -> int:
    """Memory of the accelerator that this process sees, bytes; 0: there is none, or unknown."""
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            handles = nvml_handles(pynvml)
            if handles:
                return int(pynvml.nvmlDeviceGetMemoryInfo(handles[0]).total)
    return 0


def usable_bytes() -> int:
    """Memory of the accelerator that this process may use, bytes; 0: none."""
    return int(accelerator_bytes() * float(os.environ.get(SHARE, USABLE)))


def nvml_handles(nvml: Any) -> list[Any]:  # noqa: ANN401  a module
    """NVML's handles of the accelerators that CUDA_VISIBLE_DEVICES leaves to this process."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
    names = [name.strip() for name in listed.split(",") if name.strip() not in ("", "-1")]
    return [
        nvml.nvmlDeviceGetHandleByIndex(int(name))
        if name.isdigit()
        else nvml.nvmlDeviceGetHandleByUUID(name.encode())
        for name in names
    ]
