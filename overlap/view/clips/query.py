"""The queries of the pages of clips: what an address asks for, and the addresses of other pages.

An address comes from anywhere. A value that cannot be used is left out, and the page names it.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import Final, Self
from urllib.parse import quote, urlencode

from starlette.datastructures import QueryParams

from overlap.catalog.problems import printable

ROWS_SHOWN: Final = 50
"""Clips per page."""
LONGEST_TEXT: Final = 200
"""Characters of a value; a longer one is left out."""
MOST_WORDS: Final = 8
"""Words that a clip can be required to contain."""
KINDS: Final = {"": "all", "held-out": "held-out", "test": "test"}
SORTS: Final = {
    "": "KL, highest first",
    "kl-lowest": "KL, lowest first",
    "disagreement": "disagreement, highest first",
    "disagreement-lowest": "disagreement, lowest first",
    "data": "order of the data",
}
"""Orders of the clips by their value in an address."""


def clip_path(name: str, split: str = "", version: str = "", part: str = "") -> str:
    """Return the path of a clip's page, or of a part of it.

    Args:
        name: Id of the clip.
        split: train or test; needed only for an id that both have.
        version: The version that predicts the clip; empty: the champion.
        part: sound or picture; empty: the page.

    Examples:
        >>> clip_path("a/b", "test", part="sound")
        '/clips/a%2Fb/sound?split=test'
    """
    given = {"split": split, "version": version}
    query = urlencode({key: value for key, value in given.items() if value})
    path = f"/clips/{quote(name, safe='')}" + (f"/{part}" if part else "")
    return path + (f"?{query}" if query else "")


class Reading:
    """Reads the values of an address, and lists those that cannot be used.

    Args:
        params: The query of the address.
    """

    def __init__(self, params: QueryParams) -> None:
        self._params = params
        self.ignored: list[str] = []

    def text(self, name: str) -> str:
        """Return a text; empty if it is absent."""
        value = self._params.get(name, "").strip()
        return value if len(value) <= LONGEST_TEXT else self._ignore(name, value)

    def choice(self, name: str, known: Collection[str]) -> str:
        """Return one of several known texts; empty if it is absent."""
        value = self._params.get(name, "")
        return value if not value or value in known else self._ignore(name, value)

    def choices(self, name: str, known: Collection[str], most: int) -> tuple[str, ...]:
        """Return several different known texts."""
        found = dict.fromkeys(value for value in self._params.getlist(name) if value)
        for value in found:
            if value not in known:
                self._ignore(name, value)
        return tuple(value for value in found if value in known)[:most]

    def number(self, name: str) -> float | None:
        """Return a finite number; None if it is absent."""
        value = self._params.get(name, "").strip()
        try:
            found = float(value) if value else math.nan
        except ValueError:
            found = math.inf
        if not math.isfinite(found):
            if value:
                self._ignore(name, value)
            return None
        return found

    def page(self) -> int:
        """Return the number of the page, from 1."""
        value = self._params.get("page", "1")
        try:
            found = int(value)
        except ValueError:
            found = 0
        if found < 1:
            self._ignore("page", value)
        return max(found, 1)

    def _ignore(self, name: str, value: str) -> str:
        self.ignored.append(f"{name}={printable(value, 60)}")
        return ""


@dataclass(frozen=True)
class ClipQuery:
    """Which clips a page lists, in which order."""

    version: str = ""
    """The version; empty: the champion."""
    text: str = ""
    """Part of the id."""
    words: tuple[str, ...] = ()
    """Words that the clip contains, all of them."""
    predicted: str = ""
    """The most probable word of the prediction."""
    kind: str = ""
    """A key of `KINDS`."""
    low: float | None = None
    """Least KL, nats."""
    high: float | None = None
    """Largest KL, nats."""
    missed: bool = False
    """Only clips that do not contain the most probable word of the prediction."""
    sort: str = ""
    """A key of `SORTS`."""
    page: int = 1

    @classmethod
    def read(cls, params: QueryParams, words: Collection[str]) -> tuple[Self, list[str]]:
        """Read the query of an address.

        Args:
            params: The query.
            words: The words of the version.

        Returns:
            The query, and the values that were left out.
        """
        reading = Reading(params)
        query = cls(
            version=reading.text("version"),
            text=reading.text("id"),
            words=reading.choices("word", words, MOST_WORDS),
            predicted=reading.choice("predicted", words),
            kind=reading.choice("kind", KINDS),
            low=reading.number("kl_min"),
            high=reading.number("kl_max"),
            missed=reading.choice("missed", ("1",)) == "1",
            sort=reading.choice("sort", SORTS),
            page=reading.page(),
        )
        return query, reading.ignored

    @property
    def narrows(self) -> bool:
        """Whether it leaves out clips."""
        return replace(self, version="", sort="", page=1) != ClipQuery()

    def address(self, page: int = 1) -> str:
        """Return the address of a page of the same clips."""
        pairs = [
            ("version", self.version), ("id", self.text),
            *(("word", word) for word in self.words),
            ("predicted", self.predicted), ("kind", self.kind),
            ("kl_min", _digits(self.low)), ("kl_max", _digits(self.high)),
            ("missed", "1" if self.missed else ""), ("sort", self.sort),
        ]  # fmt: skip
        return _address("/clips", pairs, page)


@dataclass(frozen=True)
class QuarantineQuery:
    """Which unusable clips a page lists."""

    text: str = ""
    """Part of the id."""
    reason: str = ""
    """Beginning of the reason."""
    page: int = 1

    @classmethod
    def read(cls, params: QueryParams, reasons: Collection[str]) -> tuple[Self, list[str]]:
        """Read the query of an address; see `ClipQuery.read`."""
        reading = Reading(params)
        query = cls(reading.text("id"), reading.choice("reason", reasons), reading.page())
        return query, reading.ignored

    def address(self, page: int = 1) -> str:
        """Return the address of a page of the same clips."""
        return _address("/quarantine", [("id", self.text), ("reason", self.reason)], page)


@dataclass(frozen=True)
class Pager:
    """The place of a page among all pages of a list."""

    number: int
    """From 1."""
    pages: int
    count: int
    """Rows of all pages."""
    links: Mapping[str, str]
    """Addresses of other pages by their name; those that exist."""

    @classmethod
    def of(cls, count: int, query: ClipQuery | QuarantineQuery) -> Self:
        """Return the pager of a list; a page after the last is the last."""
        pages = max(1, -(-count // ROWS_SHOWN))
        number = min(query.page, pages)
        targets = {
            "First": 1 if number > 1 else 0, "Previous": number - 1,
            "Next": number + 1, "Last": pages if number < pages else 0,
        }  # fmt: skip
        links = {n: query.address(to) for n, to in targets.items() if 1 <= to <= pages}
        return cls(number, pages, count, links)

    @property
    def rows(self) -> slice:
        """The rows of this page."""
        start = (self.number - 1) * ROWS_SHOWN
        return slice(start, min(start + ROWS_SHOWN, self.count))


def _digits(value: float | None) -> str:
    return "" if value is None else repr(value)


def _address(path: str, pairs: list[tuple[str, str]], page: int) -> str:
    given = [(name, value) for name, value in pairs if value]
    query = urlencode([*given, *([("page", str(page))] if page > 1 else [])])
    return path + (f"?{query}" if query else "")
