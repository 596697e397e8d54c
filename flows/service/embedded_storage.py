"""Where the embedded Prefect server keeps its database.

It is the user's Prefect home if that is writable and its database belongs to the installed version
of Prefect, so that `prefect server start` shows the runs. Otherwise it is a private folder of
overlap in the user's cache. The embedded server never migrates a database of the user, and never
connects to a database server.
"""

import atexit
import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from flows.service.configured_server import prefect_home, server_needed
from overlap.errors import UserError
from overlap.io.formatting import format_bytes
from overlap.system.user_folders import cache_folders, private_folders

ROOM: Final = 8 << 20
"""Free bytes that a database needs."""
LOCKED_SECONDS: Final = 1.0
"""How long the check waits for a database that another process has locked."""
SQLITE: Final = re.compile(r"sqlite(?:\+\w+)?:///(?P<file>[^?]*)(?P<query>\?.*)?")
REVISION: Final = re.compile(r'^revision\b[^=]*=\s*"(\w+)"', re.MULTILINE)
DOWN_REVISION: Final = re.compile(r"^down_revision\b[^=]*=\s*(.*)$", re.MULTILINE)


@dataclass(frozen=True)
class EmbeddedStorage:
    """Home and database of an embedded server."""

    home: Path
    """Its PREFECT_HOME."""
    database: str
    """URL of its database."""
    migrate: bool
    """Whether the server creates or upgrades the tables at its start."""
    reason: str | None = None
    """Why it is not the user's; None: it is."""


def embedded_storage(home: Path, url: str) -> EmbeddedStorage:
    """Choose home and database.

    Args:
        home: PREFECT_HOME of the user.
        url: URL of the user's database.

    Raises:
        UserError: no folder is writable.
    """
    reason = folder_fault(home)
    sqlite = SQLITE.fullmatch(url)
    if reason is None and sqlite is None:
        reason = "an embedded server does not connect to a database server"
    elif reason is None and sqlite is not None:
        if _in_memory(sqlite):
            return EmbeddedStorage(home, url, migrate=True)
        file = Path(sqlite["file"]).absolute()  # the server starts in another folder
        reason = folder_fault(file.parent) or database_fault(file)
        if reason is None:
            url = f"sqlite+aiosqlite:///{file}{sqlite['query'] or ''}"
            return EmbeddedStorage(home, url, migrate=not _has_content(file))
    faults = [str(reason)]
    for folder in _own_folders():
        file = folder / "prefect.db"
        # An interrupted start leaves an older revision, which may be upgraded here.
        fault = folder_fault(folder) or database_fault(file, any_revision=True)
        if fault is None:
            url = f"sqlite+aiosqlite:///{file}"
            return EmbeddedStorage(folder, url, migrate=True, reason=reason)
        faults.append(fault)
    raise UserError(
        f"the embedded Prefect server has no folder for its database: {'; '.join(faults)}; set "
        f"PREFECT_HOME to a writable folder with {format_bytes(ROOM)} of free space",
        code="no-prefect-home",
        faults=faults,
    )


def likely_storage() -> EmbeddedStorage | None:
    """Return home and database without importing Prefect.

    Only `embedded_storage` is certain, with the settings that Prefect reads.

    Returns:
        None if another server may be configured, or if the database is not complete: the caller may
        have to end a server at any time, which would leave half of the tables.
    """
    if server_needed():
        return None
    try:
        home = prefect_home()
        found = embedded_storage(home, f"sqlite+aiosqlite:///{home}/prefect.db")
    except (OSError, ValueError, UserError):
        return None
    return None if found.reason is not None or found.migrate else found


def folder_fault(folder: Path) -> str | None:
    """Return why a folder cannot hold a database, or None; creates the folder."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(bytes(ROOM))
            probe.flush()
    except OSError as error:
        return f"{folder} is not usable ({error.strerror or error})"
    return None


def database_fault(file: Path, *, any_revision: bool = False) -> str | None:
    """Return why the installed Prefect cannot use an SQLite file unchanged, or None.

    Args:
        file: The database; it may not exist yet.
        any_revision: Whether it may have tables of another version of Prefect.
    """
    try:
        if not _has_content(file):
            return None
        with file.open("r+b"):
            pass
        # Read-only: SQLite would otherwise write its log back into the file.
        address = f"{file.absolute().as_uri()}?mode=ro"
        with closing(sqlite3.connect(address, uri=True, timeout=LOCKED_SECONDS)) as database:
            found = {row[0] for row in database.execute("SELECT version_num FROM alembic_version")}
    except OSError as error:
        return f"{file} is not usable ({error.strerror or error})"
    except sqlite3.Error as error:
        return f"{file} is not a usable database of Prefect ({error})"
    if any_revision or found == {newest_revision()}:
        return None
    return (
        f"{file} belongs to another version of Prefect than the installed {version('prefect')} "
        f"(revision {', '.join(sorted(found)) or 'none'})"
    )


@lru_cache(maxsize=1)
def newest_revision() -> str | None:
    """Return the revision of an SQLite database of the installed Prefect; None: it is unknown.

    Alembic would import every migration, which takes a second.
    """
    spec = find_spec("prefect")
    places = (spec.submodule_search_locations if spec else None) or ()
    revisions: set[str] = set()
    earlier: set[str] = set()
    for place in places:
        folder = Path(place) / "server" / "database" / "_migrations" / "versions" / "sqlite"
        for file in folder.glob("*.py"):
            text = file.read_text("utf-8")
            revisions.update(REVISION.findall(text))
            for line in DOWN_REVISION.findall(text):
                earlier.update(re.findall(r"[\"'](\w+)[\"']", line))
    newest = revisions - earlier
    return newest.pop() if len(newest) == 1 else None


def _own_folders() -> Iterator[Path]:
    """Yield folders of overlap; the version in the name keeps the databases of versions apart."""
    yield from private_folders(cache_folders(), f"prefect-{version('prefect')}")
    try:
        folder = Path(tempfile.mkdtemp(prefix="overlap-prefect-"))
    except OSError:
        return
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    yield folder


def _has_content(file: Path) -> bool:
    return file.exists() and (not file.is_file() or file.stat().st_size > 0)


def _in_memory(sqlite: re.Match[str]) -> bool:
    return sqlite["file"] in ("", ":memory:") or "mode=memory" in (sqlite["query"] or "")
