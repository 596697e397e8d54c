"""Which clip is meant: a path of a sound file, or an id of a workspace."""

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from overlap.audio.decode import Clip
from overlap.catalog import Catalog
from overlap.catalog.inspection import digest
from overlap.catalog.problems import printable
from overlap.catalog.rows import REMOVED
from overlap.errors import UserError
from overlap.io.location import Location

NAMES = ("clip_id", "table_id", "file")
"""Columns of the catalogue by which a clip can be named; the surest comes last."""


@dataclass(frozen=True)
class ResolvedClip:
    """A sound file, and what the catalogue of a workspace has of it."""

    file: Location
    row: int | None
    """Its row in the catalogue; None: it was named by its path."""


def find_clip(name: str, workspace: Location, catalog: Catalog | None) -> ResolvedClip:
    """The file that a person means.

    Args:
        name: A path or URL; else an id of the catalogue, as the data or its tables write it, or
            the file below the data folder.
        workspace: For the messages.
        catalog: Of the workspace, if it has one.

    Raises:
        UserError: there is no such file or id, or several.
    """
    place = Location.of(name)
    if place.is_file():
        return ResolvedClip(place, None)
    rows = [] if catalog is None else _rows_of(name, catalog)
    if catalog is not None and len(rows) == 1:
        return ResolvedClip(
            Location.of(catalog.data) / str(catalog.clips["file"].iloc[rows[0]]), rows[0]
        )
    if catalog is not None and rows:
        files = ", ".join(catalog.clips["file"].iloc[rows])
        raise UserError(f"{name}: is the id of several clips; name one of {files}")
    if place.is_folder():
        raise UserError(f"{name}: is a folder; name a file in it, or the id of a clip")
    where = "has no catalogue to look for an id" if catalog is None else "has no clip of that id"
    raise UserError(
        f"{name}: there is no such sound file, and {workspace} {where}{_hint(name, catalog)}"
    )


def row_of_sound(clip: Clip, catalog: Catalog) -> int | None:
    """The row that holds the same sound, whatever it is called there; one with a label first."""
    same = catalog.clips["digest"] == digest(clip)
    rows = np.flatnonzero((same & (catalog.clips["state"] != REMOVED)).to_numpy())
    labelled = [row for row in rows if not np.isnan(catalog.labels[row]).any()]
    return next((int(row) for row in (*labelled, *rows)), None)


def _rows_of(name: str, catalog: Catalog) -> list[int]:
    there = catalog.clips["state"] != REMOVED
    for column in reversed(NAMES):
        rows = np.flatnonzero((there & (catalog.clips[column] == name)).to_numpy())
        if len(rows):
            return [int(row) for row in rows]
    return []


def _hint(name: str, catalog: Catalog | None) -> str:
    known = [] if catalog is None else [*catalog.clips["clip_id"]]
    close = get_close_matches(name, known, n=1)
    return f"; did you mean {printable(close[0])}?" if close else ""
