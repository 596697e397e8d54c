"""Write the generated reference pages: `python -m docs.site.write_reference`, or `make reference`.

The pages are committed, so that they are readable in the repository; a test compares them with
what this module generates.
"""

from collections.abc import Callable
from pathlib import Path
from types import MappingProxyType
from typing import Final

from docs.site.commands import commands
from docs.site.generated_blocks import filled
from docs.site.library import ROOT
from docs.site.settings import settings

GENERATED: Final[MappingProxyType[str, Callable[[], str]]] = MappingProxyType(
    {"commands": commands, "settings": settings}
)
"""Generator of each page; page and block have the same name."""


def page_file(name: str) -> Path:
    """Return the file of a reference page."""
    return ROOT / "docs" / "reference" / f"{name}.md"


def current(name: str) -> str:
    """Return the text that a reference page must have."""
    return filled(page_file(name).read_text("utf-8"), name, GENERATED[name]())


def write_reference() -> None:
    """Bring every reference page up to date."""
    for name in GENERATED:
        page_file(name).write_text(current(name), "utf-8")


if __name__ == "__main__":
    write_reference()
