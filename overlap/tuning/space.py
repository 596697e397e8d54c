"""The space of a search: settings with ranges or choices, checked against the fields' bounds.

Any field of the sections `network` and `training` with bounds, choices or two values can be
searched. A range that is not given is derived from the field's bounds.
"""

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import yaml
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from overlap.config import RunConfig
from overlap.config.loading import checked, explain
from overlap.config.presets import merged
from overlap.errors import ConfigError
from overlap.tuning.fields import FIXED, SECTIONS, allowed, bounds, kind_of, searchable, validated

INSIDE: Final = 1e-3
"""Distance of a derived range from a bound that is excluded, as a fraction of the range."""
DIGITS: Final = 4
"""Significant digits of a searched number."""

Value = bool | int | float | str
"""A value of a setting as Optuna stores it; a list is stored as JSON."""


@dataclass(frozen=True)
class Dimension:
    """A setting with the values to search."""

    key: str
    """Name of the setting, such as training.learning_rate."""
    low: float = 0.0
    """Smallest value of a range."""
    high: float = 0.0
    """Largest value of a range."""
    log: bool = False
    """Whether the logarithm of the value is searched."""
    whole: bool = False
    """Whether the values of the range are integers."""
    choices: tuple[Value, ...] = ()
    """The values, instead of a range; empty for a range."""

    @property
    def text(self) -> str:
        """The dimension as the option --search takes it."""
        if self.choices:
            return f"{self.key}={','.join(_written(choice) for choice in self.choices)}"
        ends = (int(self.low), int(self.high)) if self.whole else (self.low, self.high)
        return f"{self.key}={ends[0]:g}:{ends[1]:g}{':log' if self.log else ''}"

    def contains(self, value: object) -> bool:
        """Return whether a value is among those to search."""
        if self.choices:
            return stored(value) in self.choices
        return isinstance(value, int | float) and self.low <= value <= self.high

    def setting(self, value: Value) -> Any:  # noqa: ANN401  of whichever type the setting is
        """Return the value of the setting for a stored value; a number has `DIGITS` digits."""
        if self.choices:
            return yaml.safe_load(str(value)) if _is_list(value) else value
        if self.whole:
            return int(value)
        return min(self.high, max(self.low, float(f"{float(value):.{DIGITS}g}")))


def parse_space(searches: Sequence[str], base: RunConfig) -> tuple[Dimension, ...]:
    """Return the dimensions that options of the form KEY, KEY=LOW:HIGH[:log] or KEY=A,B describe.

    Args:
        searches: The options; without any, the space is `default_space`.
        base: The settings that the search begins with.

    Raises:
        ConfigError: A setting cannot be searched (code `not-searchable`), needs a range
            (`no-range`), or has other bounds (`out-of-bounds`); an option cannot be read
            (`malformed-search`), or two name one setting (`repeated-key`).
    """
    if not searches:
        return default_space(base)
    found = [_parsed(text, base) for text in searches]
    keys = [dimension.key for dimension in found]
    for key in keys:
        if keys.count(key) > 1:
            raise ConfigError(
                f"--search names {key} twice; give one range or list per setting",
                code="repeated-key", key=key,
            )  # fmt: skip
    return tuple(found)


def default_space(base: RunConfig) -> tuple[Dimension, ...]:
    """Return the settings that matter for most data sets, around the learning rate of `base`."""
    rate = base.training.learning_rate
    return (
        Dimension(
            "training.learning_rate",
            float(f"{rate / 8:.{DIGITS}g}"), float(f"{rate * 8:.{DIGITS}g}"), log=True,
        ),
        Dimension("network.dropout", 0.0, 0.6),
        Dimension("training.optimizer", choices=("nadam", "adamw")),
        Dimension("training.augment.shift_frames", 0, 12, whole=True),
        Dimension("training.augment.mix", 0.0, 0.5),
    )  # fmt: skip


def applied(base: RunConfig, values: Mapping[str, Value], space: Sequence[Dimension]) -> RunConfig:
    """Return a configuration with the values of a trial.

    Args:
        base: The settings that the search begins with.
        values: A stored value per dimension.
        space: The dimensions.

    Raises:
        ConfigError: The values do not fit each other or the features.
    """
    settings: dict[str, Any] = base.model_dump(exclude_unset=True)
    for dimension in space:
        nested: Any = dimension.setting(values[dimension.key])
        for part in reversed(dimension.key.split(".")):
            nested = {part: nested}
        settings = merged(settings, nested)
    return checked(settings)


def values_of(base: RunConfig, space: Sequence[Dimension]) -> dict[str, Value] | None:
    """Return the values that a configuration has; None if one of them is not in the space."""
    found = {dimension.key: setting_of(base, dimension.key) for dimension in space}
    if not all(dimension.contains(found[dimension.key]) for dimension in space):
        return None
    return {key: stored(value) for key, value in found.items()}


def setting_of(config: RunConfig, key: str) -> Any:  # noqa: ANN401  of whichever type it is
    """Return the value of a setting."""
    found: Any = config
    for part in key.split("."):
        found = getattr(found, part)
    return found


def stored(value: object) -> Value:
    """Return a value as Optuna stores it; a list becomes JSON."""
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, list | tuple):
        return f"[{', '.join(_written(stored(part)) for part in value)}]"
    return str(value)


def _parsed(text: str, base: RunConfig) -> Dimension:
    key, equals, wanted = (part.strip() for part in text.partition("="))
    field = _field(key)
    if not equals:
        return _derived(key, field)
    parts = wanted.split(":")
    if len(parts) in {2, 3} and kind_of(field) in (int, float):
        dimension = _range(key, field, parts, text)
        ends: Sequence[Any] = (dimension.setting(dimension.low), dimension.setting(dimension.high))
    else:
        ends = _listed(wanted, text)
        ends = [_valid(key, field, value, text) for value in ends]
        dimension = Dimension(key, choices=tuple(dict.fromkeys(stored(value) for value in ends)))
    for value in ends:
        _valid(key, field, value, text)
    if len(ends) < 2 or (not dimension.choices and dimension.low >= dimension.high):
        raise _malformed(text)
    if dimension.choices:  # each choice is checked with the other settings as they are
        for choice in dimension.choices:
            applied(base, {key: choice}, [dimension])
    return dimension


def _field(key: str) -> FieldInfo:
    known = dict(searchable())
    if key in known:
        return known[key]
    if key in FIXED:
        reason = FIXED[key]
    elif key.partition(".")[0] in {*RunConfig.model_fields} - {*SECTIONS}:
        reason = f"only settings of the sections {' and '.join(SECTIONS)} are"
    else:
        reason = "there is no such setting"
    raise ConfigError(
        f"--search {key}: cannot be searched: {reason}. Settings that can: {', '.join(known)}",
        code="not-searchable", key=key, searchable=tuple(known),
    )  # fmt: skip


def _derived(key: str, field: FieldInfo) -> Dimension:
    kind = kind_of(field)
    if kind is bool:
        return Dimension(key, choices=(False, True))
    if typing.get_origin(kind) is Literal:
        return Dimension(key, choices=typing.get_args(kind))
    low, high, inside_low, inside_high = bounds(field)
    if kind not in (int, float) or low is None or high is None:
        example = f"{key}=LOW:HIGH or {key}=A,B" if kind in (int, float) else f"{key}=A,B"
        raise ConfigError(
            f"--search {key}: has no range of its own ({allowed(field)}); give one: {example}",
            code="no-range", key=key, allowed=allowed(field),
        )  # fmt: skip
    margin: float = 1 if kind is int else INSIDE * (high - low)
    return Dimension(
        key,
        low + margin if inside_low else low,
        high - margin if inside_high else high,
        whole=kind is int,
    )


def _range(key: str, field: FieldInfo, parts: Sequence[str], text: str) -> Dimension:
    whole, log = kind_of(field) is int, parts[2:] == ["log"]
    try:
        low, high = (int(part) if whole else float(part) for part in parts[:2])
    except ValueError:
        raise _malformed(text) from None
    if (parts[2:] and not log) or (log and low <= 0):
        raise _malformed(text)
    return Dimension(key, low, high, log=log, whole=whole)


def _listed(wanted: str, text: str) -> list[Any]:
    try:
        values = yaml.safe_load(f"[{wanted}]")
    except yaml.YAMLError:
        raise _malformed(text) from None
    if not isinstance(values, list) or not values:
        raise _malformed(text)
    return values


def _valid(key: str, field: FieldInfo, value: object, text: str) -> Any:  # noqa: ANN401  its type
    try:
        return validated(key, field, value)
    except ValidationError as error:
        raise ConfigError(
            f"--search {text}: {explain(error).removeprefix('configuration: ')}; {key} is "
            f"{allowed(field)}",
            code="out-of-bounds", key=key, allowed=allowed(field),
        ) from None  # fmt: skip


def _malformed(text: str) -> ConfigError:
    return ConfigError(
        f"--search {text}: is not of the form KEY, KEY=LOW:HIGH, KEY=LOW:HIGH:log (LOW above 0) or "
        "KEY=A,B,… with LOW below HIGH and at least two values",
        code="malformed-search", text=text,
    )  # fmt: skip


def _written(value: Value) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _is_list(value: Value) -> bool:
    return isinstance(value, str) and value.startswith("[")
