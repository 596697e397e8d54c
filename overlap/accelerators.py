"""Which accelerators this machine offers, asked without loading a training framework."""

import os
import subprocess


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
