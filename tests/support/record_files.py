"""Record files as a later release would write them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from xxhash import xxh3_128_hexdigest

UNKNOWN = "added_later"
"""A field that no record has today."""
NEWER = "9.9.0"
"""The later release."""


def with_seal(content: Mapping[str, Any]) -> bytes:
    """Return the file of a record with these fields and a checksum that fits."""
    plain = {name: value for name, value in content.items() if name != "seal"}
    canonical = json.dumps(plain, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    seal = xxh3_128_hexdigest(canonical.encode())
    return (json.dumps(plain | {"seal": seal}, indent=2) + "\n").encode()


def add_fields(file: Path, **more: Any) -> None:
    """Add fields to the record in a file."""
    file.write_bytes(with_seal(json.loads(file.read_bytes()) | more))


def make_newer(file: Path) -> None:
    """Give the record in a file a format that only the later release reads."""
    add_fields(file, format=2, written_by=NEWER)
