"""Compilation of inner loops: once per machine, into a cache that belongs to exactly this code.

Numba's own cache notices changes of the file that defines a function, but not of the files that it
imports, and lies next to the sources, which may be read-only. Here the cache folder is named by
the digest of all sources that contribute to the machine code. It is created in the first writable
place of these: the folder in NUMBA_CACHE_DIR, the user's cache folder, a private folder for
temporary files. If none is writable, every process compiles for itself and logs a warning.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, Final

import numba
from llvmlite import binding

from overlap.io.locks import exclusive

LOG = logging.getLogger(__name__)
PACKAGE: Final = Path(__file__).parents[1]
SOURCES: Final = ("system/jit.py", "audio/**/*.py", "features/**/*.py")
"""Files of `overlap` whose code is compiled or determines what is compiled."""


def processor() -> str:
    """Return the name and instruction sets of the processor that Numba compiles for."""
    config, host = numba.config, binding.get_host_cpu_name()
    sets = binding.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else ""
    return f"{config.CPU_NAME or host} {config.CPU_FEATURES or sets}"


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401  numba publishes no types
    """Compile a function through the cache; it runs without the interpreter's lock."""
    folder = cache_folder()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder or "")
    try:
        return numba.njit(nogil=True, cache=folder is not None)(function)
    finally:
        numba.config.CACHE_DIR = before


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Return the folder for machine code, or None if no candidate is writable."""
    # For a user without a home this stays "~/.cache", which is relative and therefore skipped.
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    # A child's own folder of temporary files is removed with it (`overlap.system.worker_process`).
    lasting = os.environ.get("OVERLAP_PARENT_TMPDIR") or tempfile.gettempdir()
    temporary = Path(lasting) / f"overlap-{os.getuid()}"
    named = (os.environ.get("NUMBA_CACHE_DIR"), home, temporary)
    candidates = [Path(name) for name in named if name and Path(name).is_absolute()]
    for candidate in candidates:
        folder = candidate / "overlap" / f"kernel-{code_digest()}"
        # Another user could create a folder of that name among the temporary files.
        if (candidate != temporary or _is_private(candidate)) and _is_private(folder):
            return folder
    LOG.warning(
        "no folder for compiled code is writable (%s), so each process spends some seconds on "
        "compiling the feature kernel; set NUMBA_CACHE_DIR to a writable folder",
        ", ".join(map(str, candidates)),
    )
    return None


@contextmanager
def one_compiler(name: str) -> Iterator[None]:
    """Guard code that compiles on first use: of processes that start together, one compiles.

    Args:
        name: Name of the specialisation.
    """
    folder = cache_folder()
    if folder is None or (folder / f"{name}.done").exists():
        yield
        return
    with exclusive(folder / f"{name}.lock"):  # without locks several processes compile
        yield
        (folder / f"{name}.done").touch()


def _is_private(folder: Path) -> bool:
    """Create a folder, and return whether only this user can write to it.

    The machine code in it is executed, so a folder of another user must not be used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError:
        return False
    return about.st_uid == os.getuid() and not about.st_mode & 0o022 and os.access(folder, os.W_OK)


def source_files() -> list[Path]:
    """Return the files that `SOURCES` names, sorted."""
    return sorted({path for pattern in SOURCES for path in PACKAGE.glob(pattern)})


def code_digest() -> str:
    """Return a name for the code and the processor: unlike machines may share a home folder."""
    sha = hashlib.sha256(f"{numba.__version__} {processor()}".encode())
    for file in source_files():
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]
