"""What MkDocs calls while it builds the site; see mkdocs.yml."""

import re
from collections.abc import Callable
from types import MappingProxyType
from typing import Any, Final

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page as SitePage

from docs.site.commands import commands
from docs.site.library import FOLDER, ROOT, Page, library_pages
from docs.site.links import DOCS, PAGES, relinked, shown_files
from docs.site.numbers import numbered
from docs.site.settings import settings

MADE: Final[MappingProxyType[str, Callable[[], str]]] = MappingProxyType(
    {"settings": settings, "commands": commands}
)
"""What a page asks for with a comment such as <!-- made: settings -->."""


def made_pages() -> list[Page]:
    """Every page that is no file of docs/."""
    documents = [*(ROOT / DOCS).rglob("*.md"), *(ROOT / name for name in PAGES)]
    return [
        *(Page(place, file, (ROOT / file).read_text()) for file, place in PAGES.items()),
        *library_pages(),
        *shown_files(documents),
    ]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Put the pages of the code where the navigation names their folder."""
    library = [{page.title: page.path} for page in library_pages()]
    config.nav = [_filled(entry, library) for entry in config.nav or []]
    return config


def _filled(entry: Any, library: list[dict[str, str]]) -> Any:  # noqa: ANN401  as YAML has it
    """An entry of the navigation in which the folder of the code became its pages."""
    if isinstance(entry, dict):
        return {title: _filled(below, library) for title, below in entry.items()}
    if isinstance(entry, list):
        return [_filled(part, library) for part in entry]
    return library if entry == f"{FOLDER}/" else entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made."""
    for page in made_pages():
        files.append(File.generated(config, page.path, content=page.text))
    return files


def on_page_markdown(markdown: str, page: SitePage, **_: object) -> str:
    """Fill in what is made, and fit the links and numbers of the repository's files to the site."""
    filled = re.sub(r"<!-- made: (\w+) -->", lambda asked: MADE[asked[1]](), markdown)
    return numbered(relinked(filled, page.file.src_uri))
