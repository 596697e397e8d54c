"""Whether the user configured a Prefect server, found without importing Prefect.

The import takes two seconds, which a command that has nothing to do does not spend.
"""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from flows.service.environment import EPHEMERAL, SETTINGS_FILES

NAMES: Final = (
    *("PREFECT_API_URL", "PREFECT_PROFILE", "PREFECT_PROFILES_PATH"),
    *("PREFECT_SERVER_DATABASE_CONNECTION_URL", "PREFECT_API_DATABASE_CONNECTION_URL"),
    *("PREFECT_SERVER_DATABASE_NAME", "PREFECT_API_DATABASE_NAME"),
)
"""Settings that name another server or database."""
KEYS: Final = frozenset({"api", "server", "home", "profiles_path"})
"""Keys of Prefect's settings in a TOML file that may name another server or database."""


def server_needed() -> bool:
    """Return whether a server other than an embedded one may be configured.

    Also true if an embedded server is forbidden, or if this cannot be found out: the flow then
    reports it.
    """
    try:
        return _in_variables() or _in_profiles() or any(map(_in_file, SETTINGS_FILES))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: there is no home
        return True


def prefect_home() -> Path:
    """Return PREFECT_HOME of the environment, or Prefect's default."""
    return Path(os.environ.get("PREFECT_HOME") or "~/.prefect").expanduser()


def _in_variables() -> bool:
    names = {name.upper() for name in os.environ}  # Prefect ignores the case
    return os.environ.get(EPHEMERAL, "true") != "true" or not names.isdisjoint(NAMES)


def _in_profiles() -> bool:
    file = prefect_home() / "profiles.toml"
    if not file.exists():
        return False
    text = file.read_text("utf-8").upper()
    return any(name in text for name in NAMES)


def _in_file(name: str) -> bool:
    """Return whether a settings file of the current folder may name a server.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not text, or not TOML.
    """
    file = Path(name)
    if not file.exists():
        return False
    text = file.read_text("utf-8")
    if file.suffix != ".toml":
        return "PREFECT_" in text.upper()
    settings: Any = tomllib.loads(text)
    for key in ("tool", "prefect") if name == "pyproject.toml" else ():
        settings = settings.get(key, {}) if isinstance(settings, Mapping) else {}
    return isinstance(settings, Mapping) and not KEYS.isdisjoint(settings)
