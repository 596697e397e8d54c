"""Software versions, which are stored with every result."""

import platform
import subprocess
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import overlap

PACKAGES = (
    *("numpy", "scipy", "librosa", "numba", "zarr", "keras", "tensorflow"),
    *("tensorflow-cpu", "jax", "torch", "distributed"),
)


@lru_cache(maxsize=1)
def software() -> dict[str, str]:
    """Return the versions of Python and of the packages that influence results."""
    found = {"python": platform.python_version(), "overlap": overlap.__version__}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


@lru_cache(maxsize=1)
def git_revision() -> str | None:
    """Return the commit of the clone that this code runs from, with `+` if it has changes."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        return subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],  # noqa: S607
            cwd=root, capture_output=True, text=True, check=True, timeout=10,
        ).stdout.strip()  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
