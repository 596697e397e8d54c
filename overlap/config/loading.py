"""Builds a validated `RunConfig` from a preset, a configuration file and `--set key=value`."""

import difflib
import reprlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError

from overlap.config import RunConfig
from overlap.config.old_spellings import current_values, warn_of_old_spellings
from overlap.config.parsing import RepeatedKeyError, parsed, text_of
from overlap.config.presets import merged
from overlap.config.run import SECRET_SETTINGS
from overlap.errors import ConfigError

_SHORT = reprlib.Repr()
_SHORT.maxstring = _SHORT.maxother = 200
"""Shows a value that was given: one of nested references may be exponentially long."""
MAX_DEPTH = 20
"""Parts of a key; no setting has as many."""


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
        ConfigError: A key is unknown, a value is invalid, or a source cannot be read; the message
            names every key.
    """
    return checked(gathered(flags, file, assignments))


def gathered(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
) -> dict[str, Any]:
    """Merge the values that `configure` validates, without those that a preset supplies.

    Settings under old names get their current names, source by source, so that a later source
    wins whichever name it uses.

    Raises:
        ConfigError: The file or an assignment cannot be read, or a source contains a setting under
            both names.
    """
    values = dict[str, Any]()
    for given in sources(flags, file, assignments):
        values = merged(values, given)
    return values


def sources(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Return the values of the file, of the assignments and of the flags, under current names.

    Raises:
        ConfigError: The file or an assignment cannot be read, or a source contains a setting under
            both names.
    """
    assigned: dict[str, Any] = {}
    for assignment in assignments:
        assigned = merged(assigned, _assignment(assignment))
    given = (_read(file) if file is not None else {}, assigned, dict(flags or {}))
    current = [current_values(source) for source in given]
    warn_of_old_spellings([name for _, renamed in current for name in renamed])
    in_file, in_assignments, in_flags = (values for values, _ in current)
    return in_file, in_assignments, in_flags


def checked(values: Mapping[str, Any]) -> RunConfig:
    """Validate the values of a configuration.

    Raises:
        ConfigError: A key is unknown or a value is invalid; the message names every key. The field
            `keys` of the error lists them, and its code is that of the first.
    """
    try:
        return RunConfig.model_validate(values)
    except ValidationError as error:
        faults = error.errors(include_url=False)
        keys = [".".join(str(part) for part in fault["loc"]) for fault in faults]
        raise ConfigError(
            explain(error), code=_code(faults[0]), key=keys[0], keys=tuple(keys)
        ) from None


def explain(error: ValidationError) -> str:
    """Return one line per fault: the key, the fault, and the value that was given."""
    lines = []
    for fault in error.errors(include_url=False):
        where = ".".join(str(part) for part in fault["loc"]) or "configuration"
        if fault["type"] == "extra_forbidden":
            lines.append(f"{where}: unknown key{_suggestion(fault['loc'])}")
        elif fault["type"] == "missing":
            lines.append(f"{where}: is required")
        else:
            hidden = isinstance(fault["input"], Mapping) or where in SECRET_SETTINGS
            given = "" if hidden else f" (given: {_SHORT.repr(fault['input'])})"
            message = fault["msg"].removeprefix("Value error, ")
            lines.append(f"{where}: {message}{given}")
    return "\n".join(lines)


def _code(fault: Mapping[str, Any]) -> str:
    raised = fault.get("ctx", {}).get("error")
    if isinstance(raised, ConfigError):
        return raised.code
    return {"extra_forbidden": "unknown-key", "missing": "missing-value"}.get(
        fault["type"], "invalid-value"
    )


def _suggestion(location: tuple[int | str, ...]) -> str:
    model: type[BaseModel] = RunConfig
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        inner = None if field is None else field.annotation
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return ""
        model = inner
    near = difflib.get_close_matches(str(location[-1]), model.model_fields, n=1)
    known = f"; known keys: {', '.join(model.model_fields)}"
    return f"; did you mean {near[0]}?" if near else known


def _read(file: Path) -> dict[str, Any]:
    try:
        content = parsed(text_of(file.read_bytes()), file.suffix.lower())
        content = {} if content is None else content
    except FileNotFoundError:
        raise ConfigError(
            f"{file}: no such configuration file", code="no-such-file", path=str(file)
        ) from None
    except RepeatedKeyError as error:
        raise ConfigError(
            f"{file}: {error}", code="repeated-key", path=str(file), keys=error.keys
        ) from None
    except RecursionError:
        raise ConfigError(
            f"{file}: is nested too deeply for a configuration",
            code="unreadable-file",
            path=str(file),
        ) from None
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(
            f"{file}: cannot be read as a configuration: {error}",
            code="unreadable-file",
            path=str(file),
        ) from None
    if not isinstance(content, dict):
        raise ConfigError(
            f"{file}: contains no sections such as `training:`",
            code="unreadable-file",
            path=str(file),
        )
    return content


def _assignment(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if key.strip() in SECRET_SETTINGS:
        text = f"{key}=…"
    if not equals or not all(key.split(".")):
        raise ConfigError(
            f"{text!r} is not of the form section.key=value", code="malformed-assignment", text=text
        )
    if key.count(".") > MAX_DEPTH:
        raise ConfigError(
            f"{text[:80]!r}: no setting has so many parts", code="malformed-assignment", text=text
        )
    try:
        content = parsed(value, ".yaml")
    except RepeatedKeyError as error:
        raise ConfigError(f"{text!r}: {error}", code="repeated-key", text=text) from None
    except (yaml.YAMLError, RecursionError):
        raise ConfigError(
            f"{text!r}: the value after = is not valid YAML",
            code="malformed-assignment",
            text=text,
        ) from None
    nested: Any = content
    for part in reversed(key.strip().split(".")):
        nested = {part: nested}
    return dict(nested)
