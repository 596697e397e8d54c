"""Keras's backend: the variable KERAS_BACKEND, checked before any work, without importing Keras."""

import os
from importlib.util import find_spec
from typing import Final

from overlap.errors import ConfigError

VARIABLE: Final = "KERAS_BACKEND"
BACKENDS: Final = {"tensorflow": "", "jax": "jax", "torch": "torch"}
"""Backends that train, and the package or extra that has to be installed for each."""


def chosen_backend() -> str:
    """Return the backend that KERAS_BACKEND names, or TensorFlow.

    The file keras.json of a user does not count; see `overlap.system.foreign_settings`.
    """
    return os.environ.get(VARIABLE) or "tensorflow"


def check_backend(*, installed: bool = True) -> None:
    """Refuse a backend that cannot train.

    Args:
        installed: Whether it has to be installed here; false if other machines train.

    Raises:
        ConfigError: the backend is unknown (`unknown-backend`) or not installed
            (`backend-not-installed`).
    """
    name = chosen_backend()
    if name not in BACKENDS:
        raise ConfigError(
            f"{VARIABLE}={name}: no backend that trains; choose from {', '.join(BACKENDS)}, or "
            "unset the variable",
            code="unknown-backend",
            field=VARIABLE,
            backend=name,
        )
    if installed and find_spec(name) is None:
        raise ConfigError(
            f"{VARIABLE}={name}: {name} is not installed; install it, or unset the variable for "
            "TensorFlow",
            code="backend-not-installed",
            field=VARIABLE,
            backend=name,
        )
