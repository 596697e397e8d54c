"""The configuration as a form: titles with units, and defaults as text instead of values.

Prefect's form submits every default that a schema contains, as if the user had chosen it, and a
preset would then supply nothing. Therefore the schema of a section contains no defaults: an empty
field is not sent, and its description states its default under each preset.
"""

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final

from pydantic import BaseModel, JsonValue
from pydantic.fields import FieldInfo
from pydantic_core import to_jsonable_python

UNITS: Final = MappingProxyType({"hz": "Hz", "gb": "GB", "s": "s", "db": "dB"})
"""Units by the last part of a field's name."""
NAMES: Final = MappingProxyType(
    {"n_fft": "FFT length", "n_mels": "Mel bands", "sample_rate": "Sampling rate (Hz)",
     "fmin_hz": "Lowest frequency (Hz)", "fmax_hz": "Highest frequency (Hz)",
     "win_length": "Window length", "top_db": "Range below the peak (dB)",
     "members_per_gpu": "Members per GPU"}
)  # fmt: skip
"""Titles of fields whose names are abbreviated terms."""

DefaultsBySection = Mapping[str, Mapping[str, Mapping[str, JsonValue]]]
"""By class of section and by field: the value under each preset, as JSON."""


def title(name: str, _field: FieldInfo | Any = None) -> str:  # noqa: ANN401  pydantic's signature
    """Return the title of a field in the form.

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


def without_defaults(
    model: type[BaseModel], schema: Mapping[str, Any], defaults: DefaultsBySection
) -> dict[str, Any]:
    """Move the defaults in the JSON schema of a section into its descriptions.

    The top level of the configuration keeps its defaults, because no preset changes them.

    Args:
        model: The section.
        schema: Its JSON schema.
        defaults: The default of every field under each preset.
    """
    known = defaults.get(model.__name__)
    if known is None:
        return dict(schema)
    properties = {}
    for name, field in schema.get("properties", {}).items():
        changed = {key: value for key, value in field.items() if key != "default"}
        if changed.get("type") == "boolean":
            # A switch has no empty state and would be sent as off; a choice of two values has one.
            del changed["type"]
            changed["enum"] = [True, False]
        if name in known and "description" in changed:
            changed["description"] = f"{field['description']} {_as_text(known[name])}".rstrip()
        properties[name] = changed
    return {**schema, "properties": properties} if properties else dict(schema)


def defaults_by_section(runs: Iterable[tuple[str, BaseModel]]) -> DefaultsBySection:
    """Collect the default of every field of every section under each preset.

    Args:
        runs: Name of each preset, and a configuration in which it supplies every value.
    """
    found: dict[str, dict[str, dict[str, JsonValue]]] = {}
    for preset, run in runs:
        for section in _sections(run):
            fields = found.setdefault(type(section).__name__, {})
            for name in type(section).model_fields:
                value = to_jsonable_python(getattr(section, name))
                fields.setdefault(name, {})[preset] = value
    return found


def _sections(model: BaseModel) -> Iterator[BaseModel]:
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield value
            yield from _sections(value)


def _as_text(values: Mapping[str, JsonValue]) -> str:
    """Return the sentence that states the default of a field.

    Examples:
        >>> _as_text({"demo": 8, "fast": 40}), _as_text({"demo": None, "fast": None})
        ('Default: demo 8, fast 40.', '')
    """
    if all(value in (None, {}) for value in values.values()):
        return ""  # the description states the meaning of none
    texts = {preset: value_as_text(value) for preset, value in values.items()}
    if len(set(texts.values())) == 1:
        return f"Default: {next(iter(texts.values()))}."
    return f"Default: {', '.join(f'{preset} {text}' for preset, text in texts.items())}."


def value_as_text(value: JsonValue) -> str:
    """Return a value of the configuration as readable text.

    Examples:
        >>> value_as_text(None), value_as_text(True), value_as_text([4, 4])
        ('none', 'on', '4x4')
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        return " ".join(value_as_text(part) for part in value.values())
    if isinstance(value, list):
        separator = "; " if value and isinstance(value[0], dict) else "x"
        return separator.join(value_as_text(part) for part in value)
    return str(value)
