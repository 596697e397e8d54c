"""The resolved configuration with the origin of each value, and its JSON schema."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

from pydantic import BaseModel, JsonValue
from pydantic_core import to_jsonable_python

from overlap.config.loading import checked, sources
from overlap.config.presets import PRESETS, merged
from overlap.config.run import RunConfig

Origin = Literal["option", "set", "file", "preset", "default", "missing"]
PLACEHOLDER: Final = "DATA"
"""Stands for the data folder where none is given."""
DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


@dataclass(frozen=True)
class Setting:
    """A value of the configuration."""

    value: JsonValue
    origin: Origin
    """Where it comes from: an option of the command, `--set`, the file, the preset, or the default.
    `missing`: a run would need it."""
    source: str | None = None
    """Name of the preset, or path of the file."""

    def __str__(self) -> str:
        """The origin as text."""
        name = "--set" if self.origin == "set" else self.origin
        return name if self.source is None else f"{name} {self.source}"


def resolve(
    flags: Mapping[str, Any] | None = None,
    file: Path | None = None,
    assignments: Iterable[str] = (),
) -> dict[str, Setting]:
    """Return every setting, as `configure` resolves it, by its name, such as `training.epochs`.

    The data folder may be absent.

    Raises:
        ConfigError: A key is unknown, a value is invalid, or a source cannot be read.
    """
    in_file, assigned, given = sources(flags, file, assignments)
    values = merged(merged(in_file, assigned), given)
    config = checked({"data": PLACEHOLDER} | values)
    ranked: tuple[tuple[Origin, str | None, Mapping[str, Any]], ...] = (
        ("option", None, given),
        ("set", None, assigned),
        ("file", str(file), in_file),
        ("missing", None, {} if "data" in values else {"data": None}),
        ("preset", config.preset, PRESETS[config.preset]),
        ("default", None, {}),
    )
    found = {}
    for path, value in _leaves(config):
        origin, source = next(
            (origin, source)
            for origin, source, values in ranked
            if origin == "default" or _contains(values, path)
        )
        shown = None if origin == "missing" else to_jsonable_python(value)
        found[".".join(path)] = Setting(shown, origin, source)
    return found


def json_schema() -> dict[str, Any]:
    """Return the JSON schema of a configuration file, for editors.

    The schema contains no defaults, because they depend on the preset; the descriptions state them.
    No key is required: the command line may name the data.
    """
    schema = {"$schema": DIALECT, **RunConfig.model_json_schema()}
    del schema["required"]
    return schema


def _leaves(model: BaseModel, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from _leaves(value, (*above, name))
        else:
            yield (*above, name), value


def _contains(values: Mapping[str, Any], path: tuple[str, ...]) -> bool:
    """Return whether nested values contain a setting, alone or in a section given as a whole."""
    first, *rest = path
    if first not in values:
        return False
    inner = values[first]
    if not rest:
        return True
    if isinstance(inner, BaseModel):
        inner = inner.model_dump(exclude_unset=True)
    return isinstance(inner, Mapping) and _contains(inner, tuple(rest))
