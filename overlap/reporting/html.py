"""Elements of a report page."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from overlap.io.location import Location

Rows = Sequence[dict[str, str]]
"""A table: rows with cells by column."""


@dataclass(frozen=True)
class Tile:
    """One key figure."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart with a caption, and its values as a table."""

    title: str
    caption: str
    svg: str
    rows: Rows = ()


def link_to(place: Location) -> str:
    """Return an address as a link, in which blanks, `%`, `#` and `?` of names are escaped."""
    return quote(place.url, safe="/:@") if place.local is None else place.local.as_uri()
