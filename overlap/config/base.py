"""What every part of the configuration shares: strictness, and a name for its content."""

import hashlib
import json
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from overlap.config.form import title, without_defaults

Address = Annotated[str, Field(json_schema_extra={"pattern": "^(?!.*://[^/@]*:[^/@]*@)"})]
"""Of data, a workspace or a scheduler. A server refuses one with a password before it keeps it."""


def fingerprint(*parts: object) -> str:
    """A short name for a content: 16 hexadecimal digits of SHA-256 over canonical JSON.

    Args:
        *parts: Pydantic models, or anything that JSON can hold.
    """
    plain = [p.model_dump(mode="json") if isinstance(p, BaseModel) else p for p in parts]
    text = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Section(BaseModel):
    """Base of every part of the configuration."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", allow_inf_nan=False, field_title_generator=title
    )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """What a form is made of; see `overlap.config.form`."""
        schema = handler.resolve_ref_schema(handler(core))
        return without_defaults(cls, schema)
