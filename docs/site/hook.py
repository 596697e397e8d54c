"""Hooks that MkDocs calls while it builds the site; mkdocs.yml names this module."""

from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page as SitePage

from docs.site.library import FOLDER, ROOT, Page, library_pages
from docs.site.links import DOCS, PAGES, relinked, shown_files
from docs.site.numbers import numbered


def generated_pages() -> list[Page]:
    """Return the pages that are not files of docs/."""
    documents = [*(ROOT / DOCS).rglob("*.md"), *(ROOT / name for name in PAGES)]
    return [
        *(Page(place, file, (ROOT / file).read_text()) for file, place in PAGES.items()),
        *library_pages(),
        *shown_files(documents),
    ]


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Insert the library's pages where the navigation names their folder."""
    library = [{page.title: page.path} for page in library_pages()]
    config.nav = [_filled(entry, library) for entry in config.nav or []]
    return config


def _filled(entry: Any, library: list[dict[str, str]]) -> Any:  # noqa: ANN401  YAML
    """Return a navigation entry with the library's folder replaced by its pages."""
    if isinstance(entry, dict):
        return {title: _filled(below, library) for title, below in entry.items()}
    if isinstance(entry, list):
        return [_filled(part, library) for part in entry]
    return library if entry == f"{FOLDER}/" else entry


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the generated pages."""
    for page in generated_pages():
        files.append(File.generated(config, page.path, content=page.text))
    return files


def on_page_markdown(markdown: str, page: SitePage, **_: object) -> str:
    """Adapt links and list numbers, which are written for the repository, to the site."""
    return numbered(relinked(markdown, page.file.src_uri))
