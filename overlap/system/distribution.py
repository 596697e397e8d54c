"""How this copy of overlap was installed: as a distribution, or in a clone."""

from pathlib import Path
from typing import Final

DISTRIBUTION: Final = "overlap-ensemble"
"""Name for installers, as `overlap` on PyPI is a different project; modules and the command keep
theirs."""
CLONE: Final = Path(__file__).resolve().parents[2]


def extra_hint(extra: str, clone: Path = CLONE) -> str:
    """Return how to install an extra, as a clause.

    Args:
        extra: Its name in pyproject.toml.
        clone: The folder that contains the package `overlap`.
    """
    if (clone / "pyproject.toml").exists():
        return f"`.venv/bin/uv pip install --python .venv -e '.[{extra}]'` in {clone}"
    return f"install {DISTRIBUTION}[{extra}] in place of {DISTRIBUTION}"
