"""Backups: dated copies of a workspace in one folder, of which the newest are kept."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from overlap.errors import CorruptError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.workspace.transfer.copying import CopyReport, OnProgress, copy_workspace
from overlap.workspace.transfer.journal import find_journal
from overlap.workspace.transfer.places import check_source


@dataclass(frozen=True)
class BackupReport:
    """The result of a backup."""

    copy: CopyReport
    """The new backup."""
    removed: tuple[str, ...]
    """Addresses of the removed backups, oldest first."""


def backup_workspace(
    source: Location,
    folder: Location,
    keep: int | None = None,
    on_progress: OnProgress = lambda _done, _all: None,
    now: datetime | None = None,
) -> BackupReport:
    """Copy a workspace to `NAME-YYYYmmdd-HHMMSS` in a folder; resume an interrupted backup.

    Args:
        source: The workspace. A run may work on it.
        folder: Contains the backups, and may contain anything else.
        keep: Number of complete backups of this name that stay; None: all.
        on_progress: Receives the progress of the copy.
        now: The time, UTC; None: that of the clock.

    Raises:
        UserError: as in `copy_workspace`.
        StorageError: a file cannot be read or written.
    """
    check_source(source)
    time = now or datetime.now(UTC)
    name = _interrupted(source, folder) or _free_name(source, folder, time)
    report = copy_workspace(source, folder / name, on_progress)
    removed = _surplus(source, folder, keep) if keep is not None else []
    for backup in removed:
        WorkspacePaths(backup).catalog.remove()  # a partly removed backup never looks complete
        backup.remove()
    return BackupReport(report, tuple(map(str, removed)))


def _free_name(source: Location, folder: Location, time: datetime) -> str:
    """Return the name of a new backup; a second one within a second gets the next second."""
    taken = {*folder.folders()}
    while (name := f"{source.name}-{time:%Y%m%d-%H%M%S}") in taken:
        time += timedelta(seconds=1)
    return name


def _backups(source: Location, folder: Location) -> list[Location]:
    """Return all backups of a workspace of this name, oldest first."""
    named = re.compile(rf"{re.escape(source.name)}-\d{{8}}-\d{{6}}")
    return [folder / name for name in folder.folders() if named.fullmatch(name)]


def _interrupted(source: Location, folder: Location) -> str | None:
    """Return the name of an incomplete backup of a workspace."""
    own = str(source.local.resolve()) if source.local is not None else source.url
    for backup in reversed(_backups(source, folder)):
        try:
            journal = find_journal(backup)
        except CorruptError:
            continue
        if journal is not None and journal.source == own:
            return backup.name
    return None


def _surplus(source: Location, folder: Location, keep: int) -> list[Location]:
    complete = [
        backup
        for backup in _backups(source, folder)
        if not WorkspacePaths(backup).copy.exists() and WorkspacePaths(backup).catalog.exists()
    ]
    return complete[: max(0, len(complete) - keep)]
