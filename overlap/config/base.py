"""What every part of the configuration shares: strictness, and a name for its content."""

import hashlib
import json

from pydantic import BaseModel, ConfigDict


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

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
