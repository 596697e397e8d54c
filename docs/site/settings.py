"""The tables of settings, made from the configuration's own classes."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from overlap.config import RunConfig
from overlap.config.form import UNITS, value_as_text
from overlap.config.run import defaults_by_preset

ROW: Final = (
    "| Setting | Type | Default | Bounds | Unit | Meaning |\n| --- | --- | --- | --- | --- | --- |"
)
SPOKEN_UNITS: Final = ("samples", "seconds", "frames", "mel bands", "epochs", "nats", "GB", "Hz")
"""Units that a description names behind a comma, or that are what its setting counts."""
NAMES: Final = {int: "whole number", float: "number", str: "text", bool: "on or off", dict: "table"}


def settings() -> str:
    """A table for each part of the configuration, as Markdown."""
    parts = ["## Of the run\n", _table(RunConfig, "")]
    for part in parts_of(RunConfig):
        about = (part.model.__doc__ or "").split("\n\n")[0]
        prefix = "" if part.many else f"{part.name}."
        parts += [f"## {part.title}\n", f"{about}\n", _table(part.model, prefix)]
    return "\n".join(parts)


@dataclass(frozen=True)
class Part:
    """A part of the configuration."""

    name: str
    """Where it stands, such as training.augment."""
    model: type[BaseModel]
    many: bool
    """Whether it is what a list consists of."""

    @property
    def title(self) -> str:
        """Its heading."""
        return f"Each of {self.name}" if self.many else self.name


def parts_of(model: type[BaseModel], above: str = "") -> Iterator[Part]:
    """The parts of a configuration, each before its own parts."""
    for name, field in model.model_fields.items():
        for part in _models(field.annotation):
            yield Part(above + name, part, part is not field.annotation)
            yield from parts_of(part, f"{above}{name}.")


def _table(model: type[BaseModel], prefix: str) -> str:
    return "\n".join([ROW, *_rows(model, prefix), ""])


def _rows(model: type[BaseModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            continue  # a part with a table of its own
        cells = (
            f"`{prefix}{name}`",
            type_in_words(field.annotation),
            _default(model, name, field),
            bounds_in_words(field),
            unit(name, field.description or ""),
            field.description or "",
        )
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401  any annotation
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models(part)


def type_in_words(annotation: Any) -> str:  # noqa: ANN401  any annotation
    """A type as a person reads it.

    Examples:
        >>> type_in_words(int | None), type_in_words(Literal["last", "best"])
        ('whole number or none', '`last` or `best`')
    """
    origin, parts = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return type_in_words(parts[0])
    if origin is Literal:
        *first, last = (f"`{part}`" for part in parts)
        return f"{', '.join(first)} or {last}" if first else last
    if origin in (Union, UnionType):
        return " or ".join("none" if p is type(None) else type_in_words(p) for p in parts)
    if origin is tuple:
        several = type_in_words(parts[0])
        return f"list of {several}" if parts[-1] is Ellipsis else f"{len(parts)} of {several}"
    known = NAMES.get(origin or annotation)
    return known or f"[{annotation.__name__}](#{_anchor(annotation)})"


def _anchor(model: type[BaseModel]) -> str:
    (title,) = (part.title for part in parts_of(RunConfig) if part.model is model)
    return title.lower().replace(".", "").replace(" ", "-")


def _default(model: type[BaseModel], name: str, field: FieldInfo) -> str:
    if field.is_required():
        return "must be given"
    values = defaults_by_preset().get(model.__name__, {}).get(name)
    if values is None:
        return f"`{value_as_text(field.default)}`"
    said = {preset: value_as_text(value) or "empty" for preset, value in values.items()}
    if len(set(said.values())) == 1:
        return next(iter(said.values()))
    return ", ".join(f"{preset} {value}" for preset, value in said.items())


def bounds_in_words(field: FieldInfo) -> str:
    """What a value must keep to, from the field's own constraints."""
    said = []
    for rule in field.metadata:
        match rule:
            case annotated_types.Ge():
                said.append(f"≥ {rule.ge}")
            case annotated_types.Gt():
                said.append(f"> {rule.gt}")
            case annotated_types.Le():
                said.append(f"≤ {rule.le}")
            case annotated_types.Lt():
                said.append(f"< {rule.lt}")
            case annotated_types.MultipleOf():
                said.append(f"multiple of {rule.multiple_of}")
            case annotated_types.MinLen():
                said.append("not empty" if rule.min_length == 1 else f"≥ {rule.min_length} long")
            case annotated_types.MaxLen():
                said.append(f"≤ {rule.max_length} long")
            case _:
                raise TypeError(f"a kind of bound that the page of settings cannot tell: {rule!r}")
    return ", ".join(said)


def unit(name: str, description: str) -> str:
    """The unit of a setting: of its name's ending, else the one its description names.

    Examples:
        >>> unit("sample_rate", "Sampling rate, Hz."), unit("hop_length", "Samples to the next.")
        ('Hz', 'samples')
    """
    ending = name.rpartition("_")[2]
    if ending in UNITS and ending != name:
        return UNITS[ending]
    for spoken in SPOKEN_UNITS:
        behind = re.search(rf", {spoken}[.;]", description)
        if behind or description.lower().startswith(f"{spoken} "):
            return spoken
    return ""
