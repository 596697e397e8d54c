"""The lines of a journal; also for what works without Optuna."""

import json
from typing import Any


def complete_lines(content: bytes) -> list[bytes]:
    """Return the lines of a journal with their ends, without one that a kill has cut off."""
    return content[: content.rfind(b"\n") + 1].splitlines(keepends=True)


def entry(line: bytes) -> dict[str, Any] | None:
    """Return the entry of a line; None if it is damaged."""
    try:
        found = json.loads(line)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
