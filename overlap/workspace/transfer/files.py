"""The files of a workspace, and their role in a copy.

Every state in which an interrupted run can leave a workspace is valid: the next run resumes from
it. A copy must therefore be such a state. That means that what a done marker promises is in the
copy, and that nothing refers to something the copy lacks.
"""

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final

import fsspec

from overlap.io.listing import Entry
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors
from overlap.io.workspace_paths import (
    CATALOG_FILE,
    CHAMPION_FILE,
    COPY_FILE,
    ENSEMBLE_FILE,
    ENSEMBLES_FOLDER,
    FEATURES_FOLDER,
    LOCK_FILE,
    MEMBER_FILE,
    MEMBERS_FOLDER,
    MOVED_FILE,
    PROBE_PREFIX,
    WITHDRAWN_FILE,
)

MARKERS: Final = tuple(
    re.compile(pattern)
    for pattern in (
        re.escape(CHAMPION_FILE),
        rf"{ENSEMBLES_FOLDER}/[^/]+/{re.escape(ENSEMBLE_FILE)}",
        rf"{MEMBERS_FOLDER}/[^/]+/{re.escape(MEMBER_FILE)}",
        rf"{re.escape(FEATURES_FOLDER)}/blocks/key/c/.+",
    )
)
"""Paths of the done markers. Each kind refers only to kinds after it, which a run writes before
it; so a copy reads the kinds in this order, and writes them in the reverse one."""
BLOCK_KEYS: Final = MARKERS[-1]
"""Markers of blocks of features. No other marker refers to one."""
LAST: Final = (CATALOG_FILE, WITHDRAWN_FILE)
"""Files that are read last, in this order, and written last, in the reverse one: rows that a run
has appended to the catalogue are missing in the store until it computes them, never the other way
round, and a clip that is absent from the catalogue because it was withdrawn is in the list."""
TEMPORARY: Final = re.compile(r"\..*\.part|.*\.partial")
"""Names of files that are being written by overlap or Zarr."""


def is_marker(path: str) -> bool:
    """Return whether a file is a done marker."""
    return any(kind.fullmatch(path) for kind in MARKERS)


def in_reading_order(paths: Iterable[str]) -> list[str]:
    """Return the done markers among some paths, in the order in which a copy reads them."""
    every = sorted(paths)
    return [path for kind in MARKERS for path in every if kind.fullmatch(path)]


def is_transient(path: str) -> bool:
    """Return whether a file belongs to a process that works on the workspace, not to its content.

    Examples:
        >>> is_transient("members/ab/.model.keras.0123abcd.part"), is_transient("costs.json")
        (True, False)
    """
    name = path.rpartition("/")[2]
    own = path in (LOCK_FILE, COPY_FILE, MOVED_FILE) or path.startswith(PROBE_PREFIX)
    return own or TEMPORARY.fullmatch(name) is not None


def content(folder: Location) -> dict[str, Entry]:
    """Return every file of a workspace that belongs to its content, by its path below it.

    Raises:
        StorageError: the folder cannot be read.
    """
    with storage_errors(folder):
        found = _local(folder.local) if folder.local is not None else _remote(folder.url)
        return {path: entry for path, entry in found if not is_transient(path)}


def linked_folders(folder: Path) -> list[Path]:
    """Return the links to folders below a folder."""
    found = []
    for place, names, _ in os.walk(folder):
        found += [Path(place, name) for name in names if Path(place, name).is_symlink()]
    return found


def _local(folder: Path) -> Iterator[tuple[str, Entry]]:
    for place, _, names in os.walk(folder, followlinks=True):
        for name in names:
            file = Path(place, name)
            try:
                stat = file.stat()
            except FileNotFoundError:  # a run has removed it, or it is a broken link
                continue
            if file.is_file():
                yield file.relative_to(folder).as_posix(), Entry.of_stat(name, stat)


def _remote(url: str) -> Iterator[tuple[str, Entry]]:
    filesystem, root = fsspec.core.url_to_fs(url)
    filesystem.invalidate_cache()
    prefix = root.rstrip("/") + "/"
    for path, info in filesystem.find(root, detail=True).items():
        if info["type"] == "file" and path.startswith(prefix) and not path.endswith("/"):
            yield path.removeprefix(prefix), Entry.of_info(info)
