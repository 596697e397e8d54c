"""The choice of Keras's backend, before any work and without importing Keras.

The setting `training.backend` names it; with `auto`, the variable KERAS_BACKEND does. Otherwise the
fastest one that is installed for the accelerator trains there, and TensorFlow on a processor.
"""

import os
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Final

from overlap.errors import ConfigError
from overlap.system.distribution import extra_hint
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.framework_devices import accelerator_fault

VARIABLE: Final = "KERAS_BACKEND"
SETTING: Final = "training.backend"
AUTO: Final = "auto"
DEFAULT: Final = "tensorflow"
BACKENDS: Final = ("tensorflow", "jax", "torch")
"""Backends that train; each is the import name of its package."""
JAX_PLUGINS: Final = ("jax_cuda12_plugin", "jax_cuda13_plugin")
"""Packages without which JAX computes on processors only."""


def named_backend(wanted: str = AUTO) -> str:
    """Return the backend that the setting or KERAS_BACKEND names; empty if neither does.

    The file keras.json of a user does not count; see `overlap.system.foreign_settings`.

    Args:
        wanted: Value of the setting.
    """
    return os.environ.get(VARIABLE, "") if wanted == AUTO else wanted


def check_backend(wanted: str = AUTO, *, installed: bool = True) -> None:
    """Refuse a backend that cannot train.

    Args:
        wanted: Value of the setting.
        installed: Whether it has to be installed here; false if other machines train.

    Raises:
        ConfigError: The backend is unknown (`unknown-backend`) or not installed
            (`backend-not-installed`).
    """
    name = named_backend(wanted) or DEFAULT
    source = VARIABLE if wanted == AUTO else SETTING
    if name not in BACKENDS:
        raise ConfigError(
            f"{source}={name}: no backend that trains; choose from {', '.join(BACKENDS)}, or "
            "unset it",
            code="unknown-backend",
            field=source,
            backend=name,
        )
    if installed and find_spec(name) is None:
        raise ConfigError(
            f"{source}={name}: {name} is not installed; install it, or unset {source} for "
            "TensorFlow",
            code="backend-not-installed",
            field=source,
            backend=name,
        )


def select_backend(wanted: str = AUTO) -> str:
    """Return the backend that trains on this machine.

    Where an accelerator is visible, the backend must be able to use it: a training on the
    processor by mistake takes a hundred times as long.

    Args:
        wanted: Value of the setting.

    Raises:
        ConfigError: As `check_backend`; or an accelerator is visible that no candidate can use
            (`accelerator-unused`).
    """
    check_backend(wanted)
    named = named_backend(wanted)
    accelerators = visible_accelerators()
    if not accelerators:
        return named or DEFAULT
    faults: dict[str, str] = {}
    for name in [named] if named else _fastest_first():
        faults[name] = accelerator_fault(name)
        if not faults[name]:
            return name
    reasons = "; ".join(f"{name}: {fault}" for name, fault in faults.items())
    raise ConfigError(
        f"{len(accelerators)} accelerators are visible, but none of the backends uses one "
        f"({reasons}); {extra_hint('gpu')}, or the extra gpu-jax, or set CUDA_VISIBLE_DEVICES "
        "to nothing to train on the processor",
        code="accelerator-unused",
        field=SETTING,
        accelerators=len(accelerators),
        backends=list(faults),
    )


def _fastest_first() -> Iterator[str]:
    """Yield the installed backends that may use an accelerator, the fastest first."""
    if find_spec("jax") is not None and any(map(find_spec, JAX_PLUGINS)):
        yield "jax"
    yield DEFAULT
