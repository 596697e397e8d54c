"""Matches the ids of a table with the names of files."""

import re
import unicodedata
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def match_ids(stems: Sequence[str], ids: Sequence[str]) -> NDArray[np.int64]:
    """Find the file of every row of a table.

    An id matches the file with the same stem, else the file with the same stem after normalisation
    (Unicode NFC, surrounding spaces removed). A plain number also matches the only file whose stem
    ends in that number. An id is never interpreted as a path: it matches listed files only.

    Args:
        stems: File stems, without duplicates.
        ids: Ids as written in a table.

    Returns:
        (ids,) int64: index into `stems`, or -1 if no file, or more than one, matches.

    Examples:
        >>> match_ids(["train_00010", "train_00002"], ["2", "train_00010", "3"]).tolist()
        [1, 0, -1]
    """
    by_stem, by_normalised, by_number = dict[str, int](), dict[str, int](), dict[int, int]()
    for index, stem in enumerate(stems):
        by_stem[stem], normal = index, _normalised(stem)
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
        return by_stem.get(_normalised(clip), -1)

    return np.array([index_of(clip) for clip in ids], np.int64)


def _normalised(text: str) -> str:
    """Remove surrounding spaces and compose letters, which macOS decomposes in file names."""
    return (text if text.isascii() else unicodedata.normalize("NFC", text)).strip()


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
