"""What a page is made of."""

from collections.abc import Sequence
from dataclasses import dataclass

Rows = Sequence[dict[str, str]]
"""A table: cells by column."""


@dataclass(frozen=True)
class Tile:
    """One figure of the headline."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Chart:
    """A drawing with what it says in words, and its figures as a table."""

    title: str
    says: str
    svg: str
    rows: Rows = ()
