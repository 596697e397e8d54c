"""Compilation of inner loops: once per machine, into a cache that belongs to exactly this code.

Numba's own cache notices changes of the file that defines a function, but not of the files that it
imports, and lies next to the sources, which may be read-only. Here the cache folder is named by
the digest of all sources that contribute to the machine code; that of other packages, such as
librosa, by their versions. It is created in the first writable place of these: the folder in
NUMBA_CACHE_DIR, the user's cache folder, a private folder for temporary files. If none is writable,
every process compiles for itself and logs a warning.
"""

import atexit
import hashlib
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from llvmlite import binding

from overlap.io.locks import exclusive
from overlap.system.foreign_settings import NUMBA_VARIABLES
from overlap.system.import_path import skip_numba_settings
from overlap.system.user_folders import cache_folders, private_folders

for _name in NUMBA_VARIABLES:  # in a Dask worker that a user starts; Numba reads them repeatedly
    os.environ.pop(_name, None)
skip_numba_settings()
import numba  # noqa: E402

numba.core.config._config_fname = os.devnull  # or it would be read before each compilation
numba.config.reload_config()

LOG = logging.getLogger(__name__)
PACKAGE: Final = Path(__file__).parents[1]
SOURCES: Final = (
    *("system/jit.py", "audio/**/*.py", "features/**/*.py"),
    *("synthetic/draws.py", "synthetic/samples.py", "training/engine/block_loops.py"),
)
"""Files of `overlap` whose code is compiled or determines what is compiled."""


def processor() -> str:
    """Return the name and instruction sets of the processor that Numba compiles for."""
    config, host = numba.config, binding.get_host_cpu_name()
    sets = binding.get_host_cpu_features().flatten() if config.CPU_FEATURES is None else ""
    return f"{config.CPU_NAME or host} {config.CPU_FEATURES or sets}"


def compiled(function: Callable[..., Any]) -> Any:  # noqa: ANN401  numba publishes no types
    """Compile a function through the cache; it runs without the interpreter's lock."""
    return _compiled(function)


def compiled_loop(function: Callable[..., Any]) -> Any:  # noqa: ANN401  numba publishes no types
    """Compile like `compiled`, with what LLVM needs to make vector instructions of a loop.

    A division by zero has the value of IEEE 754 instead of raising an error, which would be a
    branch in the loop. A product and the sum around it may be rounded once.
    """
    return _compiled(function, error_model="numpy", fastmath={"contract"})


def _compiled(function: Callable[..., Any], **options: object) -> Any:  # noqa: ANN401
    folder = cache_folder()
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(folder or "")
    try:
        return numba.njit(nogil=True, cache=folder is not None, **options)(function)
    finally:
        numba.config.CACHE_DIR = before


@contextmanager
def cacheable() -> Iterator[None]:
    """Let packages whose functions Numba caches, such as librosa, be imported within the block.

    Numba refuses to define such a function for a user who can write neither to the folder of the
    package nor to a home, as in a container with a foreign user number.
    """
    before = numba.config.CACHE_DIR
    numba.config.CACHE_DIR = str(_packages_folder() or _process_folder())
    try:
        yield
    finally:
        numba.config.CACHE_DIR = before


@lru_cache(maxsize=1)
def _process_folder() -> str:
    """Create a folder that lasts as long as this process."""
    folder = tempfile.mkdtemp(prefix="overlap-numba-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Return the folder for the machine code of this package, or None if none is writable."""
    return _folder(f"kernel-{code_digest()}")


@lru_cache(maxsize=1)
def _packages_folder() -> Path | None:
    """Return the folder for that of other packages; a change of this one does not change it."""
    about = f"{numba.__version__} {processor()} librosa {version('librosa')}"
    return _folder(f"packages-{hashlib.sha256(about.encode()).hexdigest()[:16]}")


def _folder(name: str) -> Path | None:
    named = os.environ.get("NUMBA_CACHE_DIR")
    candidates = [*([Path(named)] if named else []), *cache_folders()]
    candidates = [candidate for candidate in candidates if candidate.is_absolute()]
    # The machine code is executed, so a folder of another user must not be used.
    if folder := next(private_folders(candidates, name), None):
        return folder
    _warn(", ".join(map(str, candidates)))
    return None


@lru_cache(maxsize=1)
def _warn(folders: str) -> None:
    """Log once that every process compiles for itself."""
    LOG.warning(
        "no folder for compiled code is writable (%s), so each process spends some seconds on "
        "compiling; set NUMBA_CACHE_DIR to a writable folder",
        folders,
    )


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


def source_files() -> list[Path]:
    """Return the files that `SOURCES` names, sorted."""
    return sorted({path for pattern in SOURCES for path in PACKAGE.glob(pattern)})


def code_digest() -> str:
    """Return a name for the code and the processor: unlike machines may share a home folder."""
    sha = hashlib.sha256(f"{numba.__version__} {processor()}".encode())
    for file in source_files():
        sha.update(file.read_bytes())
    return sha.hexdigest()[:16]
