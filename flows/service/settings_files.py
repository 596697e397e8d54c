"""Prefect's settings files, of the current folder and of the user, as causes of an error."""

import traceback
from pathlib import Path

from pydantic import ValidationError

FILES = ("prefect.toml", "pyproject.toml", ".env")
"""What Prefect reads in the current folder, besides its profiles and the environment."""


def settings_fault(error: BaseException) -> str | None:
    """Return the message for an error of Prefect while it reads its settings; else None."""
    frames = traceback.extract_tb(error.__traceback__)
    if not any("/prefect/settings/" in Path(frame.filename).as_posix() for frame in frames):
        return None
    reason = _invalid_values(error) if isinstance(error, ValidationError) else str(error)
    here = [name for name in FILES if Path(name).exists()]
    places = [*(str(Path.cwd() / name) for name in here), "the variables PREFECT_…"]
    return (
        f"Prefect cannot read its settings: {reason}; correct them in {', '.join(places)} or in "
        "the profile that `prefect profile inspect` prints"
    )


def _invalid_values(error: ValidationError) -> str:
    """Describe the fields without their values, which may be passwords."""
    return ", ".join(
        f"{'.'.join(map(str, fault['loc'])) or error.title}: {fault['msg']}"
        for fault in error.errors(include_url=False, include_input=False)
    )
