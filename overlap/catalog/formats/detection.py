"""Chooses the format of a source, and names both readings of one that has two."""

import shlex
from dataclasses import dataclass
from typing import Final

from overlap.catalog.formats.folders import Folders
from overlap.catalog.formats.lhotse_manifests import LhotseManifests
from overlap.catalog.formats.path_tables import AudioFolder, Tables
from overlap.catalog.formats.segments import Segments
from overlap.catalog.formats.source import Format, ImportOptions, SourceFolder, list_source
from overlap.catalog.problems import printable
from overlap.catalog.tables.long_form import TITLES
from overlap.errors import DataError
from overlap.io.location import Location

FORMATS: Final[tuple[Format, ...]] = (
    LhotseManifests(),
    AudioFolder(),
    Segments(),
    Tables("long", TITLES["long"]),
    Tables("one-label", TITLES["one-label"]),
    Tables("multi-hot", "multi-hot rows"),
    Tables("distribution", "distributions"),
    Folders(),
)
"""Every format; explicit labels come before names of folders."""

HINT_FILES: Final = 20_000
"""Largest folder, in files, that is examined for a hint."""


@dataclass(frozen=True)
class Recognition:
    """The format of a source."""

    format: Format
    """Its reader."""
    reason: str
    """Why, as a clause."""


def recognise(source: SourceFolder, options: ImportOptions) -> Recognition:
    """Return the format of a source, which the user names or the files show.

    Names of folders are labels only if no table or manifest has labels.

    Raises:
        DataError: the source has no known format (`unknown-format`), or several
            (`ambiguous-format`).
    """
    if options.format is not None:
        (chosen,) = (one for one in FORMATS if one.name == options.format)
        return Recognition(chosen, "set with --format")
    found = [
        Recognition(one, reason) for one in FORMATS if (reason := one.recognise(source, options))
    ]
    if len(found) > 1 and found[-1].format.name == "folders":
        found.pop()
    if len(found) > 1:
        first, second = found[:2]
        raise DataError(
            f"{source.data}: has two readings, {first.format.title} ({first.reason}) and "
            f"{second.format.title} ({second.reason}); choose with --format {first.format.name} or "
            f"--format {second.format.name}",
            code="ambiguous-format",
            folder=str(source.data),
            readings=tuple(one.format.name for one in found),
        )
    if not found:
        raise _unknown(source)
    return found[0]


def import_hint(data: Location) -> str:
    """Return how a folder that is no data set can be imported, if its format is recognised.

    Returns:
        A clause that begins with a semicolon, or an empty text.
    """
    options = ImportOptions()
    try:
        found = recognise(list_source(data, data, options, HINT_FILES), options)
    except OSError:
        return ""
    except DataError as error:
        if not error.code.startswith("ambiguous"):
            return ""
        return f"; `overlap import` reads other formats, but {error}"
    return (
        f"; it looks like {found.format.title} ({found.reason}): import it with "
        f"`overlap import {shlex.quote(str(data))} DATA`"
    )


def _unknown(source: SourceFolder) -> DataError:
    tables = ", ".join(printable(name, 60) for name in source.tables[:5]) or "no table"
    tops = sorted({path.partition("/")[0] for path in source.sounds if "/" in path})
    hint = (
        f"; if the folders in {printable(tops[0])}/ are named by label, import "
        f"{source.sound / tops[0]}"
        if len(tops) == 1
        else ""
    )
    return DataError(
        f"{source.data}: no format is recognised ({len(source.sounds)} sound files, {tables}); "
        "name it with --format, the table with --table, its columns with --file-column and "
        f"--label-column, or the folder of the sound with --sound{hint}",
        code="unknown-format",
        folder=str(source.data),
        sounds=len(source.sounds),
        tables=source.tables[:20],
    )
