"""Settings that were renamed: their old spellings are accepted, with one warning per process.

Files of a workspace keep the old spellings as their keys: fingerprints are computed over them.
"""

import warnings
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final

from overlap.errors import ConfigError

OLD_SPELLINGS: Final[Mapping[str, Mapping[str, str]]] = MappingProxyType(
    {
        "features": MappingProxyType(
            {"rate_hz": "sample_rate", "hop": "hop_length", "mels": "n_mels"}
        )
    }
)
"""Per section of the configuration: the new name of each renamed setting, by its old name."""

Renamed = tuple[str, str]
"""Old and new name of a setting, such as ("features.hop", "features.hop_length")."""


class OldSpellingWarning(FutureWarning):
    """A setting is given under its old name."""


_warned: set[type[Warning]] = set()
"""Holds the category once this process has warned."""


def current_section(
    section: str, values: Mapping[str, Any]
) -> tuple[dict[str, Any], list[Renamed]]:
    """Give the settings of a section their current names.

    Args:
        section: Name of the section, such as `features`.
        values: Its settings under old or current names.

    Returns:
        The settings in the same order under their current names, and the names that changed.

    Raises:
        ConfigError: A setting is given under both names.

    Examples:
        >>> current_section("features", {"hop": 80, "n_mels": 40})
        ({'hop_length': 80, 'n_mels': 40}, [('features.hop', 'features.hop_length')])
    """
    names = OLD_SPELLINGS.get(section, {})
    found = [(old, new) for old, new in names.items() if old in values]
    for old, new in found:
        if new in values:
            raise ConfigError(
                f"{section}.{old} is the old name of {section}.{new}, and both are given; "
                f"remove {section}.{old}",
                code="two-spellings",
                old=f"{section}.{old}",
                new=f"{section}.{new}",
            )
    current = {names.get(name, name): value for name, value in values.items()}
    return current, [(f"{section}.{old}", f"{section}.{new}") for old, new in found]


def current_values(values: Mapping[str, Any]) -> tuple[dict[str, Any], list[Renamed]]:
    """Give all settings of a run their current names.

    Args:
        values: Nested values, as `RunConfig` takes them.

    Returns:
        The values under their current names, and the names that changed.

    Raises:
        ConfigError: A setting is given under both names.
    """
    current, found = dict(values), list[Renamed]()
    for section in OLD_SPELLINGS:
        if isinstance(given := values.get(section), Mapping):
            current[section], renamed = current_section(section, given)
            found += renamed
    return current, found


def stored_section(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of a section the keys that files of a workspace have.

    Args:
        section: Name of the section.
        values: Its settings under their current names.

    Returns:
        The settings in the same order under the stored keys.
    """
    stored = {new: old for old, new in OLD_SPELLINGS.get(section, {}).items()}
    return {stored.get(name, name): value for name, value in values.items()}


def section_from_file(section: str, values: Mapping[str, Any]) -> dict[str, Any]:
    """Give the settings of a section, read from a file of a workspace, their current names.

    Where a file has both names, the stored key counts, because fingerprints depend on it.
    """
    names = OLD_SPELLINGS.get(section, {})
    replaced = {new for old, new in names.items() if old in values}
    return {names.get(name, name): v for name, v in values.items() if name not in replaced}


def warn_of_old_spellings(found: Iterable[Renamed]) -> None:
    """Warn of settings under old names, once per process."""
    named = [f"{old} is now {new}" for old, new in dict.fromkeys(found)]
    if named and OldSpellingWarning not in _warned:
        text = f"deprecated settings: {', '.join(named)}"
        warnings.warn(text, OldSpellingWarning, stacklevel=4)
        _warned.add(OldSpellingWarning)
