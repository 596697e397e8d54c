"""The fields of the configuration that can be searched, with their types and bounds."""

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from overlap.config import RunConfig

SECTIONS: Final = ("network", "training")
"""Sections that describe a training. Every trial uses the features of the workspace and the folds
of the study."""
FIXED: Final = {
    "training.epochs": "pruning divides it among the trials; set it with --set",
    "training.seed": "a seed is chance, not a setting",
    "training.backend": "it does not change what is learned",
    "training.memory_gb": "it does not change what is learned",
    "training.device_gb": "it does not change what is learned",
    "training.steps_per_call": "it does not change what is learned",
    "network.stages": "a list of stages has no range; search network.width",
}
"""Settings that are not searched, with the reason."""


def searchable() -> Iterator[tuple[str, FieldInfo]]:
    """Yield the settings that can be searched, with their fields."""
    for section in SECTIONS:
        model = RunConfig.model_fields[section].annotation
        yield from ((k, f) for k, f in _fields(model, f"{section}.") if k not in FIXED)


def _fields(model: Any, prefix: str) -> Iterator[tuple[str, FieldInfo]]:  # noqa: ANN401  a type
    for name, field in model.model_fields.items():
        kind = field.annotation
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            yield from _fields(kind, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def bounds(field: FieldInfo) -> tuple[float | None, float | None, bool, bool]:
    """Return both bounds of a field, and whether each is excluded."""
    low: Any = None
    high: Any = None
    inside_low = inside_high = False
    for part in field.metadata:
        if isinstance(part, Ge):
            low = part.ge
        elif isinstance(part, Gt):
            low, inside_low = part.gt, True
        elif isinstance(part, Le):
            high = part.le
        elif isinstance(part, Lt):
            high, inside_high = part.lt, True
    return low, high, inside_low, inside_high


def allowed(field: FieldInfo) -> str:
    """Return the values that a field allows, as a clause."""
    kind = kind_of(field)
    if kind is bool:
        return "true or false"
    if typing.get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, typing.get_args(kind)))}"
    low, high, inside_low, inside_high = bounds(field)
    named = {int: "an integer", float: "a number"}.get(kind, "a list")
    ends = []
    if low is not None:
        ends.append(f"{'above' if inside_low else 'at least'} {low:g}")
    if high is not None:
        ends.append(f"{'below' if inside_high else 'at most'} {high:g}")
    return " ".join([named, " and ".join(ends)]).strip()


def kind_of(field: FieldInfo) -> Any:  # noqa: ANN401  a type
    """Return the type of a field, without None."""
    kind: Any = field.annotation
    if typing.get_origin(kind) in (types.UnionType, typing.Union):
        kind = next(part for part in typing.get_args(kind) if part is not type(None))
    return kind


def validated(key: str, field: FieldInfo, value: object) -> Any:  # noqa: ANN401  whichever type it is
    """Return a value as the field stores it.

    Args:
        key: Name of the setting.
        field: Its field.
        value: What a user gave.

    Raises:
        pydantic.ValidationError: The field does not allow it.
    """
    adapter = TypeAdapter[Any](Annotated[(field.annotation, key, *field.metadata)])  # type: ignore[arg-type]
    return adapter.validate_python(value)
