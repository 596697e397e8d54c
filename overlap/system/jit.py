"""Compiling inner loops: once per machine, into a cache that belongs to exactly this code.

Numba's own cache notices a change of the file that holds a function, not of the files that it
imports, and lies beside the sources, which may be read-only. Here the folder is named by the
digest of all sources it is made of, and is the first of these that can be written: the one that
NUMBA_CACHE_DIR names, the user's cache folder, a private folder for temporary files. Where there
is none, every process compiles for itself and says so.
"""

import hashlib
import logging
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import numba
from llvmlite import binding

from overlap.io.locks import exclusive

LOG = logging.getLogger(__name__)
SOURCES = ("system/jit.py", "audio/*.py", "features/**/*.py")
"""Files of `overlap` whose code is compiled, or shapes what is."""


def processor() -> str:
    """Name and instruction sets of the processor that numba compiles for."""
    config, host = numba.config, binding.get_host_cpu_name()
    sets = binding.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else ""
    return f"{config.CPU_NAME or host} {config.CPU_FEATURES or sets}"


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401  numba publishes no types
    """Compile a function, without the interpreter's lock, through the cache."""
    folder = cache_folder()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder or "")
    try:
        return numba.njit(nogil=True, cache=folder is not None)(function)
    finally:
        numba.config.CACHE_DIR = before


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Where machine code is kept; None where nothing can be written."""
    # Of a user without a home this stays "~/.cache", which is left out below.
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")  # noqa: PTH111
    temporary = Path(tempfile.gettempdir()) / f"overlap-{os.getuid()}"
    named = (os.environ.get("NUMBA_CACHE_DIR"), home, temporary)
    candidates = [Path(name) for name in named if name and Path(name).is_absolute()]
    for candidate in candidates:
        folder = candidate / "overlap" / f"kernel-{code_digest()}"
        # Anybody can make a folder of that name among the temporary files first.
        if (candidate != temporary or _is_ours(candidate)) and _is_ours(folder):
            return folder
    LOG.warning(
        "no folder for compiled code can be written (%s): each process compiles the feature "
        "kernel anew, some seconds; set NUMBA_CACHE_DIR to a folder that can",
        ", ".join(map(str, candidates)),
    )
    return None


@contextmanager
def one_compiler(what: str) -> Iterator[None]:
    """Around what compiles on first use: where processes begin at once, one does it for all.

    Args:
        what: Name of the specialisation.
    """
    folder = cache_folder()
    if folder is None or (folder / f"{what}.done").exists():
        yield
        return
    with exclusive(folder / f"{what}.lock"):  # without locks some processes compile twice
        yield
        (folder / f"{what}.done").touch()


def _is_ours(folder: Path) -> bool:
    """Make a folder; whether only this user can write to it.

    What lies in it is run, so a folder that somebody else made is not used.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = folder.stat()
    except OSError:
        return False
    return about.st_uid == os.getuid() and not about.st_mode & 0o022 and os.access(folder, os.W_OK)


def code_digest() -> str:
    """Names the code and the processor; a home folder may be shared by unlike machines."""
    here = Path(__file__).parents[1]
    sha = hashlib.sha256(f"{numba.__version__} {processor()}".encode())
    for file in sorted(path for pattern in SOURCES for path in here.glob(pattern)):
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]
