"""Generates a page for each package; mkdocstrings fills it from the docstrings."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
PACKAGES: Final = ("overlap", "tasks", "flows")
FOLDER: Final = "reference/library"


@dataclass(frozen=True)
class Page:
    """A page of the site."""

    path: str
    """Path from the site's root."""
    title: str
    text: str
    """Markdown."""


def library_pages() -> Iterator[Page]:
    """Yield a page for each package: a table of its modules, then the reference of each module."""
    for package in PACKAGES:
        for init in sorted((ROOT / package).rglob("__init__.py")):
            modules = sorted(
                file for file in init.parent.glob("*.py") if not file.stem.startswith("__")
            )
            name = ".".join(init.parent.relative_to(ROOT).parts)
            parts = [f"# {name}\n", _about(init), "", "| module | |", "| --- | --- |"]
            parts += [f"| [{m.stem}](#{m.stem}) | {_about(m).splitlines()[0]} |" for m in modules]
            parts += [f"\n## {m.stem} {{#{m.stem}}}\n\n::: {name}.{m.stem}" for m in modules]
            yield Page(f"{FOLDER}/{name}.md", name, "\n".join([*parts, ""]))


def _about(file: Path) -> str:
    """Return the docstring of a module."""
    return ast.get_docstring(ast.parse(file.read_text())) or ""
