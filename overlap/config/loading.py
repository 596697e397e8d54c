"""From a preset, a configuration file and `--set key=value` to a checked `RunConfig`."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from overlap.config import RunConfig
from overlap.config.presets import merged
from overlap.errors import ConfigError


def configure(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
) -> RunConfig:
    """Build a configuration; later sources win: preset, file, assignments, flags.

    Args:
        flags: Nested values, as `RunConfig` takes them.
        file: TOML, YAML or JSON with the same shape.
        assignments: Texts such as `training.epochs=3`.

    Raises:
        ConfigError: something is unknown, out of bounds or unreadable; the message names each
            field.
    """
    return checked(gathered(flags, file, assignments))


def gathered(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
) -> dict[str, Any]:
    """The values that `configure` checks: what was given, without what a preset supplies.

    Raises:
        ConfigError: the file, or an assignment, cannot be read.
    """
    values: dict[str, Any] = _read(file) if file is not None else {}
    for assignment in assignments:
        values = merged(values, _assignment(assignment))
    return merged(values, flags or {})


def checked(values: Mapping[str, Any]) -> RunConfig:
    """A configuration of values.

    Raises:
        ConfigError: something is unknown or out of bounds; the message names each field.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        raise ConfigError(explain(error)) from None


def explain(error: ValidationError) -> str:
    """One line per wrong field: where, what, and what was given."""
    lines = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"]) or "configuration"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: no such key{_suggestion(fault['loc'])}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: is missing")
        else:
            given = "" if isinstance(fault["input"], Mapping) else f" (given: {fault['input']!r})"
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}{given}")
    return "\n".join(lines)


def _suggestion(location: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = RunConfig
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        model = inner
    near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
    known = f"; it has {', '.join(model.model_fields)}"
    return f"; did you mean {near[0]}?" if near else known


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".toml":
            content = tomllib.loads(text)
        elif file.suffix == ".json":
            content = json.loads(text)
        else:
            content = yaml.safe_load(text) or {}
    except FileNotFoundError:
        raise ConfigError(f"{file}: there is no such configuration file") from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read as a configuration: {error}") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: holds no sections such as `training:`")
    return content


def _assignment(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not all(key.split(".")):
        raise ConfigError(f"{text!r} is not of the form section.key=value")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"{text!r}: the value after = cannot be read") from None
    nested: Any = parsed
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return dict(nested)
