"""Describes settings of Prefect that it refuses when it is imported."""

import importlib
import os
import tomllib
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from flows.service.environment import SETTINGS_FILES
from overlap.errors import UserError

READERS: Final = ("prefect.settings", "prefect.context", "prefect.logging.configuration")
"""Modules of Prefect that read settings."""
LOGGING: Final = ("PREFECT_LOGGING_SETTINGS_PATH", "PREFECT_LOGGING_CONFIG_PATH")
NAMED: Final = 3
"""Number of settings that a message names."""


def settings_fault(error: BaseException) -> UserError | None:
    """Return the message for an error of Prefect's settings; None for another error."""
    if isinstance(error, ImportError) and error.name == "prefect":
        # `from prefect import flow` hides the reason.
        try:
            importlib.import_module("prefect.main")
        except Exception as hidden:  # noqa: BLE001  whatever the settings cause
            error = hidden
    if not _is_of_settings(error):
        return None
    reasons = [*_reasons(error)][:NAMED]
    files = [str(Path.cwd() / name) for name in SETTINGS_FILES if Path(name).exists()]
    places = ", ".join(["the environment (PREFECT_*)", "Prefect's profiles.toml", *files])
    return UserError(
        f"Prefect refuses its settings: {'; '.join(reasons)}; correct them in one of: {places}",
        code="prefect-settings",
        reasons=reasons,
    )


def _is_of_settings(error: BaseException) -> bool:
    """Return whether the error was raised while Prefect was imported and read its settings."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    names = [(str(frame.f_globals.get("__name__")), frame.f_code.co_name) for frame in frames]
    imports = any(name.startswith("prefect") and code == "<module>" for name, code in names)
    imports |= any(code in {"setup_logging", "ensure_logging_setup"} for _, code in names)
    return imports and any(name.startswith(READERS) for name, _ in names)


def _reasons(error: BaseException) -> Iterator[str]:
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        for fault in error.errors(include_url=False):
            if fault["type"] == "default_factory_not_called":  # a consequence of another one
                continue
            value = str(fault["input"])
            variables = [
                name
                for name, known in os.environ.items()
                if name.startswith("PREFECT_") and known.casefold() == value.casefold()
            ]
            where = " or ".join(variables) or ".".join(map(str, fault["loc"]))
            yield f"{where}: {fault['msg']}"  # without the value, which may be a password
    elif isinstance(error, tomllib.TOMLDecodeError):
        yield f"a TOML file cannot be read: {error}"
    else:
        named = [f"{name}={os.environ[name]}" for name in LOGGING if name in os.environ]
        first = (str(error).splitlines() or [""])[0]
        yield ": ".join([*named, type(error).__name__, first])
