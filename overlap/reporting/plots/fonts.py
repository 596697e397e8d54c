"""Fonts for text in any script: installed ones that cover it, or a legible substitute.

Matplotlib's own font covers Latin, Greek and Cyrillic; a character that no chosen font contains
would be drawn as a box. Fonts are looked up in the list that Matplotlib keeps of the installed
ones, and nothing is downloaded.
"""

import unicodedata
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache

from overlap.reporting.plots.style import plain_style

PREFERRED = "DejaVu Sans"
"""Matplotlib's own font, always installed."""
REGULAR = (400, "regular", "normal", "book")
"""Names of the weight in which text is drawn."""
BEFORE_NAME = ("SYLLABLE", "LETTER", "CHARACTER", "SIGN")
"""Words of a character's Unicode name before the part that tells how it sounds."""


@contextmanager
def style_for(texts: Sequence[str]) -> Iterator[None]:
    """Draw within the block in Matplotlib's style, with installed fonts that cover the texts."""
    with plain_style():
        import matplotlib as mpl

        with mpl.rc_context({"font.family": [*families(texts)]}):
            yield


def families(texts: Sequence[str]) -> tuple[str, ...]:
    """Return font families that together cover as much of the texts as installed fonts do."""
    missing = {character for text in texts for character in text} - _covered(PREFERRED)
    chosen = [PREFERRED]
    missing = {character for character in missing if not _is_invisible(character)}
    names = _installed() if missing else ()
    while missing:
        gains = {name: len(missing & _covered(name)) for name in names}
        best = max(names, key=lambda name: (gains[name], name), default="")
        if not best or not gains[best]:
            break
        chosen.append(best)
        missing -= _covered(best)
    return tuple(chosen)


def drawable(text: str) -> str:
    """Return the text, with a substitute for every character that no installed font contains.

    The substitute is the sound in the character's Unicode name, or its code point.

    Examples:
        >>> drawable("zero")
        'zero'
    """
    missing = _missing(text)
    if not missing:
        return text
    parts: list[str] = []
    for character in text:
        known = character not in missing
        if parts and not (known and character.isspace()) and not parts[-1][-1:].isspace():
            separate = not known or parts[-1] in missing.values()
            parts += ["-"] if separate else []
        parts.append(character if known else missing[character])
    return "".join(parts)


def undrawable(texts: Sequence[str]) -> list[str]:
    """Return the texts that contain characters of no installed font."""
    return [text for text in texts if _missing(text)]


def substitution_note(texts: Sequence[str]) -> str:
    """Return a sentence about texts that are drawn with substitutes; empty if none is."""
    replaced = undrawable(texts)
    if not replaced:
        return ""
    shown = ", ".join(f"{text} as {drawable(text)}" for text in replaced[:3])
    more = f", and {len(replaced) - 3} more" if len(replaced) > 3 else ""
    return (
        f"no installed font has the characters of {len(replaced)} texts, which are drawn by sound: "
        f"{shown}{more}; install a font of their script, such as one of the Noto fonts"
    )


def _missing(text: str) -> dict[str, str]:
    """Return the characters of no installed font, with their substitutes."""
    characters = {c for c in text if not _is_invisible(c)} - _covered(PREFERRED)
    if not characters:
        return {}
    covered: set[str] = set()
    for name in families([text]):
        covered |= _covered(name)
    return {character: _sound(character) for character in characters - covered}


def _is_invisible(character: str) -> bool:
    return character.isspace() or unicodedata.category(character) in {"Cc", "Cf"}


def _sound(character: str) -> str:
    words = unicodedata.name(character, "").split()
    for before in BEFORE_NAME:
        if before in words[:-1]:
            return "-".join(words[words.index(before) + 1 :]).lower()
    return f"U+{ord(character):04X}"


@cache
def _installed() -> tuple[str, ...]:
    """Return the families of the installed fonts, without those that draw every character alike."""
    with plain_style():
        from matplotlib.font_manager import fontManager
    names = {font.name for font in fontManager.ttflist}
    return tuple(sorted(name for name in names if "Last Resort" not in name))


@cache
def _covered(family: str) -> frozenset[str]:
    """Return the characters that the regular font of a family contains."""
    with plain_style():
        from matplotlib.font_manager import fontManager, get_font

        fonts = [font for font in fontManager.ttflist if font.name == family]
        plain = min(fonts, key=lambda font: (font.style != "normal", font.weight not in REGULAR))
        return frozenset(map(chr, get_font(plain.fname).get_charmap()))
