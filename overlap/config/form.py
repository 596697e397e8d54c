"""The configuration as a form: titles with units, and defaults as words instead of values.

Prefect's form submits every default that a schema names, as if a person had chosen it; a preset
would then supply nothing. So the schema of a section names no defaults: an empty field is not
sent, and its description says what it stands for under each preset.
"""

from collections.abc import Iterator, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo

from overlap.config.presets import PRESETS

UNITS: Final = MappingProxyType({"hz": "Hz", "gb": "GB", "s": "s", "db": "dB"})
NAMES: Final = MappingProxyType(
    {"n_fft": "FFT length", "mels": "Mel bands", "fmin_hz": "Lowest frequency (Hz)",
     "fmax_hz": "Highest frequency (Hz)", "win_length": "Window length",
     "top_db": "Range below the peak (dB)", "members_per_gpu": "Members per GPU"}
)  # fmt: skip
"""Fields whose names are terms of the field, abbreviated."""


def title(name: str, _field: FieldInfo | Any = None) -> str:  # noqa: ANN401  pydantic's signature
    """What a person reads over a field.

    Examples:
        >>> title("learning_rate"), title("memory_gb"), title("n_fft")
        ('Learning rate', 'Memory (GB)', 'FFT length')
    """
    if name in NAMES:
        return NAMES[name]
    *words, last = name.split("_")
    if words and last in UNITS:
        return f"{title('_'.join(words))} ({UNITS[last]})"
    return name.replace("_", " ").capitalize()


def without_defaults(model: type[BaseModel], schema: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON schema of a section with its defaults moved into the descriptions.

    What no preset can change, the top of the configuration, keeps them.
    """
    known = defaults_by_preset().get(model.__name__)
    if known is None:
        return dict(schema)
    properties = {}
    for name, field in schema.get("properties", {}).items():
        changed = {key: value for key, value in field.items() if key != "default"}
        if changed.get("type") == "boolean":
            # A switch has no empty state and would be sent as off; a choice of two has.
            del changed["type"]
            changed["enum"] = [True, False]
        if name in known and "description" in changed:
            changed["description"] = f"{field['description']} {_in_words(known[name])}".rstrip()
        properties[name] = changed
    return {**schema, "properties": properties} if properties else dict(schema)


@cache
def defaults_by_preset() -> dict[str, dict[str, dict[str, JsonValue]]]:
    """By class of section and by field: the value under each preset, as JSON has it."""
    from overlap.config.run import RunConfig  # it is made of sections, which ask for this

    found: dict[str, dict[str, dict[str, JsonValue]]] = {}
    for preset in PRESETS:
        run = RunConfig.model_validate({"data": "DATA", "preset": preset})
        for section in _sections(run):
            fields = found.setdefault(type(section).__name__, {})
            for name, value in section.model_dump(mode="json").items():
                fields.setdefault(name, {})[preset] = value
    return found


def _sections(model: BaseModel) -> Iterator[BaseModel]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield value
            yield from _sections(value)


def _in_words(values: Mapping[str, JsonValue]) -> str:
    """What an empty field stands for.

    Examples:
        >>> _in_words({"demo": 8, "fast": 40}), _in_words({"demo": None, "fast": None})
        ('Default: demo 8, fast 40.', '')
    """
    if all(value in (None, {}) for value in values.values()):
        return ""  # the description says what none means
    said = {preset: value_in_words(value) for preset, value in values.items()}
    if len(set(said.values())) == 1:
        return f"Default: {next(iter(said.values()))}."
    return f"Default: {', '.join(f'{preset} {value}' for preset, value in said.items())}."


def value_in_words(value: JsonValue) -> str:
    """A value of the configuration as a person reads it.

    Examples:
        >>> value_in_words(None), value_in_words(True), value_in_words([4, 4])
        ('none', 'on', '4x4')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return " ".join(value_in_words(part) for part in value.values())
    if isinstance(value, list):
        separator = "; " if value and isinstance(value[0], dict) else "x"
        return separator.join(value_in_words(part) for part in value)
    return str(value)
