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
    {
        "n_fft": "FFT length",
        "n_mels": "Mel bands",
        "sample_rate": "Sampling rate (Hz)",
        "clip_seconds": "Length of a clip (s)",
        "hop_length": "Hop length (samples)",
        "fmin_hz": "Lowest frequency (Hz)",
        "fmax_hz": "Highest frequency (Hz)",
        "win_length": "Window length",
        "top_db": "Range below the peak (dB)",
        "cpu_workers": "CPU workers",
        "members_per_gpu": "Members per GPU",
        "features_on_gpu_workers": "Features on GPU workers",
        "timeout_s": "Waiting time (s)",
        "min_members": "Fewest members",
        "pool": "Pooling",
        "stop_when_gain_below": "Stop when the gain is below (nats)",
        "min_gain": "Smallest gain (nats)",
        "min_clips": "Fewest clips",
        "max_bad_fraction": "Largest fraction of unusable clips",
        "holdout": "Held-out fraction",
        "dense": "Units of the dense layers",
        "augment": "Augmentation",
        "shift_frames": "Largest shift (frames)",
        "mask_mels": "Widest mel mask",
        "mask_frames": "Widest frame mask",
        "mix": "Mixed fraction",
        "mix_weight": "Smallest weight in a mixture",
        "tail_epochs": "Averaged last epochs",
        "clip_norm": "Largest norm of the gradient",
        "shuffle_clips": "Shuffling window (clips)",
        "device_gb": "Memory of the device (GB)",
        "checks": "Checks of the data",
        "notify": "Notifications",
    }
)
"""Titles of fields whose names are abbreviated terms, or no titles."""
ADVANCED_SECTIONS: Final = frozenset({"network", "features", "store", "cluster"})
"""Sections of the configuration that few users change; their titles say so."""
ADVANCED: Final = MappingProxyType(
    {
        "TrainingConfig": frozenset(
            {"whole_batches", "warmup_epochs", "weight_decay", "average_epochs", "tail_epochs",
             "clip_norm", "precision", "steps_per_call", "normalisation", "top_db",
             "shuffle_clips", "memory_gb", "device_gb"}
        ),
        "EnsembleConfig": frozenset({"min_members", "stop_when_gain_below"}),
        "PromotionConfig": frozenset({"confidence", "min_gain", "min_clips"}),
        "ClusterConfig": frozenset(
            {"arguments", "training", "adaptive", "features_on_gpu_workers", "timeout_s"}
        ),
    }
)  # fmt: skip
"""Fields that follow the others of their section in the form, by class of the section.

Prefect's form has no part that is closed at first. It sorts the fields of a section by `position`.
"""

AFTER: Final = 1000
"""More than a section has fields."""

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
        return _with_marked_sections(schema) if model.__name__ == "RunConfig" else dict(schema)
    last = ADVANCED.get(model.__name__, frozenset())
    properties: dict[str, Any] = {}
    for name, field in schema.get("properties", {}).items():
        changed = {key: value for key, value in field.items() if key != "default"}
        if changed.get("type") == "boolean":
            # A switch has no empty state and would be sent as off; a choice of two values has one.
            del changed["type"]
            changed["enum"] = [True, False]
        if name in known and "description" in changed:
            changed["description"] = f"{field['description']} {_as_text(known[name])}".rstrip()
        changed["position"] = len(properties) + (AFTER if name in last else 0)
        properties[name] = changed
    return {**schema, "properties": properties} if properties else dict(schema)


def _with_marked_sections(schema: Mapping[str, Any]) -> dict[str, Any]:
    """Return the schema of the configuration with the advanced sections named as such."""
    properties = {
        name: {**field, "title": f"{field.get('title', title(name))} (advanced)"}
        if name in ADVANCED_SECTIONS
        else field
        for name, field in schema["properties"].items()
    }
    return {**schema, "properties": properties}


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
                if isinstance(getattr(section, name), BaseModel):
                    continue  # its own fields state their defaults
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
        >>> value_as_text([{"n_fft": 256, "win_length": 200}])
        '256/200'
    """
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, dict):
        numbers = all(isinstance(part, int | float) for part in value.values())
        return ("/" if numbers else " ").join(value_as_text(part) for part in value.values())
    if isinstance(value, list):
        separator = "; " if value and isinstance(value[0], dict) else "x"
        return separator.join(value_as_text(part) for part in value)
    return str(value)
