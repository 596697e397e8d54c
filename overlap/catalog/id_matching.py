"""Matches the ids of a table with the names of files."""

import re
from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import is_audio
from overlap.catalog.cell_text import normal_text
from overlap.catalog.problems import printable
from overlap.columns.search import positions, repeated
from overlap.columns.texts import Texts, arrow_texts

EXAMINED = 100
"""Ids without a file of which the reason is searched."""


def match_ids(stems: Texts, ids: Texts) -> NDArray[np.int64]:
    """Find the file of every row of a table.

    An id matches the file with the same stem, else the file with the same stem after normalisation
    (`overlap.catalog.cell_text.normal_text`). A plain number also matches the only file whose
    stem ends in that number. An id is never interpreted as a path: it matches listed files only.

    Args:
        stems: File stems, without duplicates.
        ids: Ids as written in a table.

    Returns:
        (ids,) int64: index into `stems`, or -1 if no file, or more than one, matches.

    Examples:
        >>> match_ids(["train_00010", "train_00002"], ["2", "train_00010", "3"]).tolist()
        [1, 0, -1]
    """
    exact = _exact_matches(stems, ids)
    if exact is not None and (exact >= 0).all():  # the usual case, without an object per name
        return exact
    by_stem, by_normalised, by_number = dict[str, int](), dict[str, int](), dict[int, int]()
    for index, stem in enumerate(stems):
        by_stem[stem], normal = index, normal_text(stem)
        if normal != stem:
            by_normalised[normal] = -1 if normal in by_normalised else index
        found = re.search(r"[0-9]+$", stem)
        if found:
            number = int(found.group())
            by_number[number] = -1 if number in by_number else index
    by_stem = by_normalised | by_stem

    def index_of(clip: str) -> int:
        if clip in by_stem:
            return by_stem[clip]
        if _is_number(clip):
            return by_number.get(int(clip), -1)
        return by_stem.get(normal_text(clip), -1)

    return np.array([index_of(clip) for clip in ids], np.int64)


def _exact_matches(stems: Texts, ids: Texts) -> NDArray[np.int64] | None:
    """Return the index of each id in `stems`, or -1; None where Arrow cannot represent a name."""
    try:
        known = arrow_texts(stems)
        wanted = arrow_texts(ids)
    except UnicodeEncodeError:  # a name that is not UTF-8
        return None
    return None if repeated(known).any() else positions(wanted, known)


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18


def id_hint(ids: Iterable[str], stems: Iterable[str]) -> str:
    """Explain why ids match no file, if one of the usual reasons applies to one of them.

    Args:
        ids: Ids without a file; the first few are examined.
        stems: File stems.

    Returns:
        A clause that begins with a semicolon, or an empty text.

    Examples:
        >>> id_hint(["a.wav"], ["a"])
        '; an id is the name of a file without its suffix: write a instead of a.wav'
        >>> id_hint(["x"], ["a"])
        ''
    """
    examined = [*islice(ids, EXAMINED)]
    if not examined:
        return ""
    known, folded = {*stems}, dict[str, str]()
    for clip in examined:
        folded = folded or {stem.casefold(): stem for stem in known}
        name = re.split(r"[/\\\\]", clip)[-1]
        stem = name.rpartition(".")[0] if is_audio(name) else name
        if stem in known and stem != clip:
            part = "suffix" if name == clip else "folder"
            return (
                f"; an id is the name of a file without its {part}: "
                f"write {printable(stem)} instead of {printable(clip)}"
            )
        if found := re.fullmatch(r"([0-9]{1,18})\.0*", clip):
            return (
                f"; {clip} is a decimal number, which spreadsheets and pandas make of a column "
                f"with empty cells: write {found[1]}"
            )
        if re.fullmatch(r"[0-9]+([.,][0-9]+)?[eE]\+?[0-9]+", clip):
            return f"; a spreadsheet shortened {clip}: format the column as text"
        if clip.casefold() in folded:
            other = printable(folded[clip.casefold()])
            return f"; upper and lower case differ: write {other} instead of {printable(clip)}"
    return ""
