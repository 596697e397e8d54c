"""The best settings of a study as a configuration file for `overlap run --config best.toml`."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from overlap.config import RunConfig
from overlap.tuning.space import Dimension, Value, applied

SECTIONS: Final = ("features", "checks", "training", "network")
"""Sections that the file contains: everything else belongs to a run, not to its settings."""


def best_toml(
    config: RunConfig, values: Mapping[str, Value], space: Sequence[Dimension], origin: str
) -> str:
    """Return the file.

    Args:
        config: The settings that the study began with.
        values: The stored values of the best trial.
        space: The dimensions.
        origin: A line about the study, which becomes a comment.
    """
    settings = applied(config, values, space).model_dump(mode="json", exclude_unset=True)
    lines = [f"# {origin}", f"preset = {_text(settings.get('preset', config.preset))}"]
    for section in SECTIONS:
        if settings.get(section):
            lines += _table(section, settings[section])
    return "\n".join(lines) + "\n"


def _table(name: str, content: Mapping[str, Any]) -> list[str]:
    given = {key: value for key, value in content.items() if value is not None}
    plain = {key: value for key, value in given.items() if not isinstance(value, Mapping)}
    lines = ["", f"[{name}]"] + [f"{key} = {_text(value)}" for key, value in plain.items()]
    for key, value in given.items():
        if isinstance(value, Mapping):
            lines += _table(f"{name}.{key}", value)
    return lines


def _text(value: object) -> str:
    """Return a value in TOML; strings are those of JSON, which TOML reads alike."""
    if isinstance(value, Mapping):
        parts = (f"{key} = {_text(part)}" for key, part in value.items() if part is not None)
        return f"{{{', '.join(parts)}}}"
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(part) for part in value)}]"
    return json.dumps(value, ensure_ascii=False)
