"""Generates the tables of settings from the configuration's classes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from overlap.config import LaterField, RunConfig
from overlap.config.form import UNITS, value_as_text
from overlap.config.run import defaults_by_preset

ROW: Final = (
    "| Setting | Type | Default | Bounds | Unit | Meaning |\n| --- | --- | --- | --- | --- | --- |"
)
DESCRIBED_UNITS: Final = ("samples", "seconds", "frames", "mel bands", "epochs", "nats", "GB", "Hz")
"""Units that a description names after a comma, or that it begins with."""
NAMES: Final = {int: "whole number", float: "number", str: "text", bool: "on or off", dict: "table"}


def settings() -> str:
    """Return Markdown with a table for each section of the configuration."""
    parts = ["## Run\n", _table(RunConfig, "")]
    for part in parts_of(RunConfig):
        about = (part.model.__doc__ or "").split("\n\n")[0]
        prefix = "" if part.many else f"{part.name}."
        parts += [f"## {part.title}\n", f"{about}\n", _table(part.model, prefix)]
    return "\n".join(parts)


@dataclass(frozen=True)
class Part:
    """A section of the configuration."""

    name: str
    """Dotted path, such as training.augment."""
    model: type[BaseModel]
    many: bool
    """Whether the configuration holds a list of these sections."""

    @property
    def title(self) -> str:
        """Heading of its table."""
        return f"Each of {self.name}" if self.many else self.name


def parts_of(model: type[BaseModel], above: str = "") -> Iterator[Part]:
    """Yield the sections of a configuration, each before its own sections."""
    for name, field in model.model_fields.items():
        for part in _models(field.annotation):
            yield Part(above + name, part, part is not field.annotation)
            yield from parts_of(part, f"{above}{name}.")


def _table(model: type[BaseModel], prefix: str) -> str:
    return "\n".join([ROW, *_rows(model, prefix), ""])


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue  # a section with its own table
        cells = (
            f"`{prefix}{name}`",
            type_name(field.annotation),
            _default(model, name, field),
            bounds(field),
            unit(name, field.description or ""),
            field.description or "",
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401  any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def type_name(annotation: Any) -> str:  # noqa: ANN401  any annotation
    """Return a readable name of a type.

    Examples:
        >>> type_name(int | None), type_name(Literal["last", "best"])
        ('whole number or none', '`last` or `best`')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_name(parts[0])
    if origin is Literal:
        *first, last = (f"`{part}`" for part in parts)
        return f"{', '.join(first)} or {last}" if first else last
    if origin in (Union, UnionType):
        return " or ".join("none" if p is type(None) else type_name(p) for p in parts)
    if origin is tuple:
        several = type_name(parts[0])
        return f"list of {several}" if parts[-1] is Ellipsis else f"{len(parts)} of {several}"
    known = NAMES.get(origin or annotation)
    return known or f"[{annotation.__name__}](#{_anchor(annotation)})"


def _anchor(model: type[BaseModel]) -> str:
    (title,) = (part.title for part in parts_of(RunConfig) if part.model is model)
    return title.lower().replace(".", "").replace(" ", "-")


def _default(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    values = defaults_by_preset().get(model.__name__, {}).get(name)
    if values is None:
        return f"`{value_as_text(field.default)}`"
    texts = {preset: value_as_text(value) or "empty" for preset, value in values.items()}
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{preset} {value}" for preset, value in texts.items())


def bounds(field: FieldInfo) -> str:
    """Return the bounds of a value, from the constraints of its field."""
    limits = []
    for rule in field.metadata:
        match rule:
            case annotated_types.Ge():
                limits.append(f"≥ {rule.ge}")
            case annotated_types.Gt():
                limits.append(f"> {rule.gt}")
            case annotated_types.Le():
                limits.append(f"≤ {rule.le}")
            case annotated_types.Lt():
                limits.append(f"< {rule.lt}")
            case annotated_types.MultipleOf():
                limits.append(f"multiple of {rule.multiple_of}")
            case annotated_types.MinLen():
                limits.append("not empty" if rule.min_length == 1 else f"≥ {rule.min_length} long")
            case annotated_types.MaxLen():
                limits.append(f"≤ {rule.max_length} long")
            case LaterField():  # no bound
                pass
            case _:
                raise TypeError(f"no text for this kind of bound: {rule!r}")
    return ", ".join(limits)


def unit(name: str, description: str) -> str:
    """Return the unit of a setting, from the suffix of its name or else from its description.

    Examples:
        >>> unit("sample_rate", "Sampling rate, Hz."), unit("hop_length", "Samples to the next.")
        ('Hz', 'samples')
    """
    ending = name.rpartition("_")[2]
    if ending in UNITS and ending != name:
        return UNITS[ending]
    for described in DESCRIBED_UNITS:
        after_comma = re.search(rf", {described}[.;]", description)
        if after_comma or description.lower().startswith(f"{described} "):
            return described
    return ""
