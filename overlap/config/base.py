"""The base class of all sections of the configuration, and fingerprints of content."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Annotated, Any, ClassVar, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    ValidationInfo,
    model_validator,
)
from pydantic_core import CoreSchema

from overlap.config.form import title
from overlap.config.old_spellings import (
    current_section,
    section_from_file,
    warn_of_old_spellings,
)
from overlap.io.records import STORED

Address = Annotated[str, Field(json_schema_extra={"pattern": "^(?!.*://[^/@]*:[^/@]*@)"})]
"""Address of data, of a workspace or of a scheduler. A server refuses an address that contains a
password before it stores it."""

FormHook = Callable[[type[BaseModel], Mapping[str, Any]], dict[str, Any]]
"""Returns the JSON schema of a section as the form needs it."""


@dataclass(frozen=True)
class LaterField:
    """Marks a field that a release after 0.1.0 introduced: `Annotated[int, LaterField(1)]`.

    Fingerprints leave the field out where it has the value that corresponds to the behaviour before
    it existed, so results of earlier releases are still found. A section that was stored without
    the field has this value. The value never changes, whatever the field's default is later.
    """

    value: Any
    """The field's value as JSON that stands for the earlier behaviour."""


def later_fields(model: type[BaseModel]) -> dict[str, LaterField]:
    """Return the marks of the fields that a release after 0.1.0 introduced."""
    return {
        name: mark
        for name, field in model.model_fields.items()
        for mark in field.metadata
        if isinstance(mark, LaterField)
    }


def hashed_form(model: BaseModel) -> dict[str, Any]:
    """Return a model as JSON without the later fields that have their first value.

    Args:
        model: A section of the configuration, or a record.
    """
    content, later = model.model_dump(mode="json"), later_fields(type(model))
    for name in type(model).model_fields:
        if name not in content:  # a renamed field is stored under its old name and has no parts
            continue
        content[name] = _hashed_part(getattr(model, name), content[name])
        if name in later and content[name] == later[name].value:
            del content[name]
    return content


def _hashed_part(value: object, content: Any) -> Any:  # noqa: ANN401  JSON
    if isinstance(value, BaseModel):
        return hashed_form(value)
    if isinstance(value, list | tuple):
        return [_hashed_part(one, part) for one, part in zip(value, content, strict=True)]
    return content


def fingerprint(*parts: object) -> str:
    """Return a short name for some content: 16 hexadecimal digits of SHA-256 over canonical JSON.

    Args:
        *parts: Pydantic models (see `hashed_form`), or anything that JSON can hold.
    """
    plain = [hashed_form(part) if isinstance(part, BaseModel) else part for part in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class ConfigModel(BaseModel):
    """Base of every section of the configuration: frozen, and unknown keys are refused.

    A section that is read from a file of a workspace (`from_stored`, or as a part of a `Record`)
    ignores unknown keys, because a later release may have written them.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, field_title_generator=title
    )

    section: ClassVar[str] = ""
    """The section's key in `OLD_SPELLINGS`; empty where no setting of it was renamed."""
    form_hook: ClassVar[FormHook | None] = None
    """Set by `overlap.config.run`, which knows the presets' effect on every section."""

    @classmethod
    def from_stored(cls, content: object) -> Self:
        """Return the section that a file of a workspace holds.

        Args:
            content: The section as JSON.

        Raises:
            pydantic.ValidationError: A known key has an invalid value.
        """
        return cls.model_validate(content, context=STORED)

    @model_validator(mode="before")
    @classmethod
    def _current_names(cls, values: Any, info: ValidationInfo) -> Any:  # noqa: ANN401  any input
        if not isinstance(values, Mapping):
            return values
        if info.context is STORED:
            known = section_from_file(cls.section, values)
            first = {name: mark.value for name, mark in later_fields(cls).items()}
            return first | {name: known[name] for name in known if name in cls.model_fields}
        current, renamed = current_section(cls.section, values)
        warn_of_old_spellings(renamed)
        return current

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Return the schema that the form is made of; see `overlap.config.form`."""
        schema = handler.resolve_ref_schema(handler(core))
        if ConfigModel.form_hook is None:
            import_module("overlap.config.run")
        hook = ConfigModel.form_hook
        return schema if hook is None else hook(cls, schema)
