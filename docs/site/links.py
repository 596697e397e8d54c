"""Translates links between files of the repository into links between pages of the site.

The Markdown is readable in the repository, so its links lead from file to file. On the site the
README is the front page, and a linked script or example gets a page that shows its content.
"""

import posixpath
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from docs.site.library import ROOT, Page

DOCS: Final = "docs/"
PAGES: Final = {
    "README.md": "index.md",
    "CHANGELOG.md": "changes.md",
    "CONTRIBUTING.md": "contributing.md",
}
"""Files outside docs/ that are pages, with their paths on the site."""
FILES: Final = "files"
LINK: Final = re.compile(r"(\[[^\]]*\]\()([^)#\s:]+)(#[^)\s]*)?(\))")
LANGUAGES: Final = {".sh": "bash", ".yml": "yaml"}


def place_of(file: str) -> str:
    """Return the path on the site of the page for a file of the repository."""
    if file in PAGES:
        return PAGES[file]
    return file.removeprefix(DOCS) if file.startswith(DOCS) else f"{FILES}/{file}.md"


def source_of(place: str) -> str:
    """Return the repository's file of a page; the inverse of `place_of`."""
    named = {page: file for file, page in PAGES.items()}
    return named.get(place, DOCS + place)


def relinked(text: str, place: str) -> str:
    """Return the Markdown of a page with links for the site; leaves links to missing files."""
    folder = posixpath.dirname(source_of(place))

    def changed(link: re.Match[str]) -> str:
        before, target, anchor, after = link.groups()
        file = posixpath.normpath(posixpath.join(folder, target))
        if not (ROOT / file).is_file():
            return link[0]
        there = posixpath.relpath(place_of(file), posixpath.dirname(place) or ".")
        return f"{before}{there}{anchor or ''}{after}"

    return LINK.sub(changed, text)


def shown_files(documents: Iterable[Path]) -> list[Page]:
    """Return pages for the files that documents link to and that are not pages themselves."""
    files = set()
    for document in documents:
        for link in LINK.finditer(document.read_text()):
            target = (document.parent / link[2]).resolve()
            if target.is_file() and target.is_relative_to(ROOT):
                files.add(target.relative_to(ROOT).as_posix())
    return [_shown(file) for file in sorted(files) if place_of(file).startswith(f"{FILES}/")]


def _shown(file: str) -> Page:
    suffix = Path(file).suffix
    language = LANGUAGES.get(suffix, suffix.removeprefix("."))
    content = (ROOT / file).read_text()
    return Page(place_of(file), file, f"# {file}\n\n```{language}\n{content}```\n")
