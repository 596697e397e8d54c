"""Resolve the name of a clip: the path of a sound file, or an id in a workspace."""

from dataclasses import dataclass
from difflib import get_close_matches

import numpy as np

from overlap.audio.clips import digest
from overlap.audio.decode import Clip
from overlap.catalog import Catalog
from overlap.catalog.cell_text import normal_text
from overlap.catalog.problems import printable
from overlap.catalog.rows import REMOVED
from overlap.errors import UserError
from overlap.io.location import Location

NAME_COLUMNS = ("clip_id", "table_id", "file")
"""Columns of the catalogue that name a clip; later ones take precedence."""


@dataclass(frozen=True)
class ResolvedClip:
    """A sound file and its row in the catalogue of a workspace."""

    file: Location
    row: int | None
    """Row in the catalogue; None if the clip was given as a path."""


def find_clip(name: str, workspace: Location, catalog: Catalog | None) -> ResolvedClip:
    """Resolve a name to a sound file.

    Args:
        name: A path or URL; otherwise an id of the catalogue, as in the data or its tables, or a
            file relative to the data folder.
        workspace: The workspace, for error messages.
        catalog: Catalogue of the workspace, if it exists.

    Raises:
        UserError: The name matches no clip, several clips, or a folder.
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
        raise UserError(
            f"{name}: several clips have this id; give one of the files {files}",
            code="ambiguous-clip",
            name=name,
            clips=len(rows),
        )
    if place.is_folder():
        raise UserError(
            f"{name}: is a folder; give a file in it or the id of a clip",
            code="clip-is-folder",
            name=name,
        )
    where = "has no catalogue" if catalog is None else "has no clip with this id"
    similar = _similar(name, catalog)
    hint = "" if similar is None else f"; did you mean {similar}?"
    raise UserError(
        f"{name}: no such sound file, and {workspace} {where}{hint}",
        code="no-such-clip",
        name=name,
        similar=similar,
    )


def row_of_sound(clip: Clip, catalog: Catalog) -> int | None:
    """Return the row with the same sound under any name, preferring labelled rows; or None."""
    same = catalog.clips["digest"] == digest(clip)
    rows = np.flatnonzero((same & (catalog.clips["state"] != REMOVED)).to_numpy())
    labelled = [row for row in rows if not np.isnan(catalog.labels[row]).any()]
    return next((int(row) for row in (*labelled, *rows)), None)


def _rows_of(name: str, catalog: Catalog) -> list[int]:
    exists = catalog.clips["state"] != REMOVED
    for column in reversed(NAME_COLUMNS):
        rows = np.flatnonzero((exists & (catalog.clips[column] == name)).to_numpy())
        if len(rows):
            return [int(row) for row in rows]
    normal = normal_text(name)
    known = catalog.clips["clip_id"].map(normal_text)  # a name may be typed in composed letters
    return [int(row) for row in np.flatnonzero((exists & (known == normal)).to_numpy())]


def _similar(name: str, catalog: Catalog | None) -> str | None:
    """Return the id most similar to a name, if any is close."""
    known = [] if catalog is None else [*catalog.clips["clip_id"]]
    close = get_close_matches(name, known, n=1)
    return printable(close[0]) if close else None
