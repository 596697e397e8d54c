"""Accelerators of this machine, and how members share one; loads no training framework."""

import os
import subprocess
from collections.abc import Callable, Mapping
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
    chosen = _chosen()
    if chosen is not None:
        return chosen
    try:
        listed = subprocess.run(
            ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"],  # noqa: S607
            capture_output=True, text=True, check=True, timeout=20,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return []
    return listed.split()


def asked_of_nvml(question: Callable[[Any, list[Any]], float]) -> float | None:
    """What the accelerators' driver says; None where there is none, or it does not tell.

    Args:
        question: Given NVML and its handles of the accelerators that this process sees.
    """
    with suppress(ImportError):
        import pynvml

        with suppress(pynvml.NVMLError):
            pynvml.nvmlInit()
            handles = nvml_handles(pynvml)
            return question(pynvml, handles) if handles else None
    return None


def accelerator_bytes() -> int:
    """Memory of the accelerator that this process sees, bytes; 0: there is none, or unknown."""
    return int(asked_of_nvml(lambda nvml, seen: nvml.nvmlDeviceGetMemoryInfo(seen[0]).total) or 0)


def usable_bytes() -> int:
    """Memory of the accelerator that this process may use, bytes; 0: none."""
    return int(accelerator_bytes() * float(os.environ.get(SHARE, USABLE)))


def nvml_handles(nvml: Any) -> list[Any]:  # noqa: ANN401  a module
    """NVML's handles of the accelerators that CUDA_VISIBLE_DEVICES leaves to this process."""
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
    """The accelerators that CUDA_VISIBLE_DEVICES names; None where it is not set: all."""
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is None:
        return None
    return [name.strip() for name in listed.split(",") if name.strip() not in ("", "-1")]
