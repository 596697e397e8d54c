"""Elements of a report page."""

from collections.abc import Sequence
from dataclasses import dataclass

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
