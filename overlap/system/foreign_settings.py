"""Settings of other tools that must not shape a result, removed from an environment.

Notebooks, job scripts and files in a home folder configure the libraries that overlap uses. A
result depends on the configuration of the run alone, so our processes start without them. What is
kept selects a device, limits memory, or only changes logs and caches; `KERAS_BACKEND` is a setting
of overlap too.
"""

import os
import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, MutableMapping
from contextlib import contextmanager, suppress
from typing import Final

from overlap.system.import_path import skip_settings_file

ONEDNN: Final = "TF_ENABLE_ONEDNN_OPTS"
"""Variable with which TensorFlow computes convolutions on a processor with oneDNN."""
FIXED: Final[Mapping[str, str]] = {
    "MPLBACKEND": "agg",  # no window; the backend of a notebook may not be installed here
    # Keras reads keras.json (data format, precision, epsilon, backend) in this folder, and would
    # write one there: a folder that cannot exist.
    "KERAS_HOME": os.devnull,
    ONEDNN: "1",  # by itself, TensorFlow uses it only on processors with AVX-512
}
"""Variables that our processes have with these values."""
NUMBA_VARIABLES: Final = (
    "NUMBA_DISABLE_JIT", "NUMBA_BOUNDSCHECK", "NUMBA_OPT", "NUMBA_NUM_THREADS",
)  # fmt: skip
"""Variables that change what Numba compiles, or fail it."""
REMOVED: Final = (
    *("KERAS_", "TF_", "XLA_FLAGS", "JAX_", "NVIDIA_TF32_OVERRIDE", "TORCH_ALLOW_TF32"),
    *("ONEDNN_", "DNNL_"),  # oneDNN in TensorFlow: instruction sets, precision
    *("LIBROSA_", "ZARR_", "MATPLOTLIBRC", "PANDAS_"),
    *NUMBA_VARIABLES,
    "PYTHONWARNINGS",  # `error` fails at the first deprecation of any library
)
"""Beginnings of the names of variables that our processes do not have."""
KEPT: Final = (
    *("KERAS_BACKEND", "ONEDNN_VERBOSE"),
    *("TF_CPP_", "TF_FORCE_GPU_ALLOW_GROWTH", "TF_GPU_ALLOCATOR", "TF_GPU_THREAD_", "TF_CUDA_"),
    *("JAX_PLATFORMS", "JAX_COMPILATION_CACHE_", "JAX_LOGGING_LEVEL", "JAX_CUDA_VISIBLE_DEVICES"),
)
"""Beginnings of names that `REMOVED` does not cover."""
XLA_FLAGS_KEPT: Final = "--xla_gpu_cuda_data_dir="
"""Beginning of the one flag of XLA that is kept: it says where CUDA is installed."""


def without_foreign_settings(environment: Mapping[str, str]) -> dict[str, str]:
    """Return an environment for a process of ours.

    Args:
        environment: The environment of this process.

    Examples:
        >>> sorted(without_foreign_settings({"TF_XLA_FLAGS": "x", "KERAS_BACKEND": "jax"}))
        ['KERAS_BACKEND', 'KERAS_HOME', 'MPLBACKEND', 'TF_ENABLE_ONEDNN_OPTS']
    """
    kept = {
        name: value
        for name, value in environment.items()
        if not name.startswith(REMOVED) or name.startswith(KEPT)
    }
    flags = environment.get("XLA_FLAGS", "").split()
    if found := [flag for flag in flags if flag.startswith(XLA_FLAGS_KEPT)]:
        kept["XLA_FLAGS"] = " ".join(found)
    return {**kept, **FIXED}


def ignore_foreign_settings(environment: MutableMapping[str, str] = os.environ) -> None:
    """Remove the settings of other tools from this process; call it before they are imported.

    Args:
        environment: The environment of this process.
    """
    wanted = without_foreign_settings(environment)
    for name in environment.keys() - wanted.keys():
        del environment[name]
    environment.update(wanted)
    # Python has read PYTHONWARNINGS already, and passes it on to processes that it spawns.
    sys.warnoptions[:] = [o for o in sys.warnoptions if not o.startswith("error")]
    warnings.filters[:] = [f for f in warnings.filters if f[0] != "error"]  # type: ignore[index]


def import_matplotlib() -> None:
    """Import Matplotlib; a file `matplotlibrc` of the current folder has no effect on it.

    MPLBACKEND applies if its backend is installed, so that figures of a notebook stay as they are.
    Otherwise Matplotlib chooses one, instead of failing.
    """
    if "matplotlib" in sys.modules:
        return
    wanted = os.environ.get("MPLBACKEND")
    with variables(MPLBACKEND=None):
        skip_settings_file("matplotlibrc", "matplotlib")
        import matplotlib as mpl
    if wanted:
        with suppress(ValueError):  # not installed here
            mpl.rcParams["backend"] = wanted


@contextmanager
def foreign_settings_hidden() -> Iterator[None]:
    """Hide the settings of other tools within the block, for an import.

    For a process that is not ours, such as a notebook. The variables have their values again
    afterwards. Matplotlib is imported, which reads its own settings.
    """
    import_matplotlib()
    wanted = without_foreign_settings(os.environ)
    names = {*os.environ, *wanted}
    changed = {n: wanted.get(n) for n in names if os.environ.get(n) != wanted.get(n)}
    with variables(**changed):
        yield


@contextmanager
def variables(**values: str | None) -> Iterator[None]:
    """Set environment variables within the block, for an import; None removes one."""
    before = {name: os.environ.get(name) for name in values}
    try:
        _set(values)
        yield
    finally:
        _set(before)


def _set(values: Mapping[str, str | None]) -> None:
    for name, value in values.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value


@contextmanager
def packages_hidden(names: Iterable[str]) -> Iterator[None]:
    """Make packages look as if they were not installed, within the block.

    A package that is imported already stays available.

    Args:
        names: Names of top-level packages.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # type: ignore[arg-type]  # None: not importable
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
