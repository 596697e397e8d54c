"""The normal form of short texts that users write: ids, words, groups and column names.

Two texts that look the same must be the same text: a space after a speaker's name would make two
speakers of one, and letters that macOS decomposes differ from those that a keyboard types.
"""

import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from overlap.catalog.problems import EXAMPLES, Problem, Problems
from overlap.io.formatting import counted

_DIRECTIONS: Final = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
INVISIBLE: Final = "\u00ad\u180e\u200b\u2060\ufeff" + _DIRECTIONS
"""Characters without an appearance, which spreadsheets and web pages add: soft hyphens, zero-width
spaces, byte order marks and marks of the direction of writing."""
_JOINERS: Final = "\u200c\u200d"
"""Invisible at the edge of a text only: between letters they choose another shape."""
_REMOVED: Final = str.maketrans("", "", INVISIBLE)


def normal_text(text: str) -> str:
    r"""Return a text as it is compared: NFC, without invisible characters and needless spaces.

    White space of any kind (also no-break and ideographic spaces) is removed at both ends; within
    the text each run of it becomes one space.

    Examples:
        >>> normal_text(" spk0\u00a0"), normal_text("New\u00a0 York"), normal_text("\ufeffup")
        ('spk0', 'New York', 'up')
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text).translate(_REMOVED)
        text = " ".join(text.split()).strip(_JOINERS)
    return " ".join(text.split())


def is_unicode(name: str) -> bool:
    """Return whether a name is valid UTF-8; Python represents other bytes as lone surrogates."""
    if name.isascii():
        return True
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def stripped(text: str) -> str:
    r"""Return a text without white space and invisible characters at both ends.

    An id keeps its letters as written, because the output must repeat them.

    Examples:
        >>> stripped("\ufeff a  b \u200b")
        'a  b'
    """
    before = None
    while text != before:
        before, text = text, text.strip().strip(INVISIBLE + _JOINERS)
    return text


def visible(text: str) -> str:
    r"""Return a text in quotes, in which everything that a reader cannot see is an escape.

    Examples:
        >>> print(visible("up\u00a0"), visible("e\u0301"), visible("é"))
        'up\xa0' 'e\u0301' 'é'
    """
    composed = unicodedata.is_normalized("NFC", text)

    def shown(character: str) -> str:
        seen = character.isprintable() and (composed or character.isascii())
        return character if seen else character.encode("unicode_escape").decode()

    return f"'{''.join(map(shown, text))}'"


def repeated_texts(texts: Sequence[str], written: Sequence[str]) -> list[str]:
    """Name the texts that occur several times, with their spellings if these differ.

    Args:
        texts: Normal forms.
        written: The same texts as they are written.

    Examples:
        >>> repeated_texts(["up", "no", "up"], ["up", "no", "up "])
        ["'up' and 'up '"]
        >>> repeated_texts(["up", "up"], ["up", "up"])
        ['up']
    """
    spellings: dict[str, list[str]] = {}
    for text, raw in zip(texts, written, strict=True):
        spellings.setdefault(text, []).append(raw)
    return [
        text if len({*raws}) == 1 else " and ".join(map(visible, dict.fromkeys(raws)))
        for text, raws in sorted(spellings.items())
        if text and len(raws) > 1
    ]


@dataclass
class CellTexts:
    """Normalises the text cells of one table and counts what it changes."""

    table: str
    """Name of the table, for messages."""
    changed: Counter[str] = field(default_factory=Counter)
    """Number of changed cells by what they are: id, word, group, column."""
    examples: list[str] = field(default_factory=list)
    """The first of them as they are written."""

    def normal(self, text: str, what: str) -> str:
        """Return the normal form of a cell."""
        result = normal_text(text)
        if result != text:
            self._count(text, what)
        return result

    def id(self, text: str) -> str:
        """Return an id without white space around it; its letters stay as written."""
        result = stripped(text)
        if result != text or (not text.isascii() and normal_text(text) != text):
            self._count(text, "id")
        return result

    def _count(self, text: str, what: str) -> None:
        self.changed[what] += 1
        if len(self.examples) < EXAMPLES:
            self.examples.append(visible(text[:80]))

    def report(self, problems: Problems) -> None:
        """Report the number of changed cells, with examples."""
        if not self.changed:
            return
        counts = ", ".join(counted(count, what) for what, count in self.changed.items())
        message = (
            f"{self.table}: cells are compared without white space around them and in composed "
            f"letters ({counts})"
        )
        total = self.changed.total()
        code = "normalised-cells"
        problems.found.append(Problem(code, message, tuple(self.examples), total, fatal=False))
