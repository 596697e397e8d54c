"""Moves a workspace: copies it, compares the copy, and only then removes the source."""

from contextlib import suppress

from overlap.errors import UserError
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.io.records import Record
from overlap.io.workspace_paths import LOCK_FILE, MOVED_FILE, WorkspacePaths
from overlap.workspace.transfer.copying import CopyReport, OnProgress, copy_workspace
from overlap.workspace.transfer.files import content, linked_folders
from overlap.workspace.transfer.places import check_source


class MovedMarker(Record):
    """Marker of a workspace whose copy is complete, and which is being removed."""

    target: str
    """Address of the copy."""


def move_workspace(
    source: Location, target: Location, on_progress: OnProgress = lambda _done, _all: None
) -> CopyReport | None:
    """Move a workspace while no run works on it; an interrupted move is resumed.

    On an object store, which has no lock, the source is listed again after the copy, and is not
    removed if it has changed.

    Args:
        source: The workspace.
        target: As in `copy_workspace`.
        on_progress: Receives the progress of the copy.

    Returns:
        The copy; None if an earlier move had completed it, and only the source was left to remove.

    Raises:
        WorkspaceLockedError: a run works on the source.
        UserError: as in `copy_workspace`; the source contains links to folders, whose content
            would stay elsewhere (`linked-folders`); it changed during the copy
            (`workspace-changed`); or it was moved elsewhere before (`workspace-moved`).
    """
    if (source / MOVED_FILE).exists():
        _finish(source, target)
        return None
    check_source(source)
    _refuse_links(source)
    with run_lock(source):
        before = content(source)
        report = copy_workspace(source, target, on_progress)
        changed = sorted(before.items() ^ content(source).items())
        if changed or report.blocks_left_out:
            raise UserError(
                f"{source}: changed while it was copied, so it is not removed; {target} is a "
                "complete copy. End the run that works on it, remove the copy, and move again",
                code="workspace-changed",
                workspace=str(source),
                target=str(target),
                changed=sorted({path for path, _ in changed})[:5],
            )
        WorkspacePaths(source).moved.write_record(MovedMarker(target=report.target))
        _remove(source)
    _remove_folder(source)
    return report


def _finish(source: Location, target: Location) -> None:
    """Remove the rest of a source whose move was interrupted after the copy."""
    moved = WorkspacePaths(source).moved.read_record(MovedMarker)
    where = Location(moved.target)
    wanted = str(target.local.resolve()) if target.local is not None else target.url
    if wanted != moved.target:
        raise UserError(
            f"{source}: was moved to {moved.target}, not to {target}; name that target to remove "
            "the rest of the source",
            code="workspace-moved",
            workspace=str(source),
            target=moved.target,
        )
    check_source(where)
    with run_lock(source):
        _remove(source)
    _remove_folder(source)


def _remove(source: Location) -> None:
    """Remove everything but the marker: first what makes the workspace look complete."""
    paths = WorkspacePaths(source)
    paths.catalog.remove()
    paths.champion.remove()
    kept = {MOVED_FILE, LOCK_FILE}
    for name in [entry.name for entry in source.files()]:
        if name not in kept:
            (source / name).remove()
    for name in source.folders():
        (source / name).remove()
    paths.moved.remove()


def _remove_folder(source: Location) -> None:
    if source.local is not None:
        with suppress(OSError):  # a link or a mount point stays, empty
            source.local.rmdir()


def _refuse_links(source: Location) -> None:
    if source.local is None:
        return
    links = linked_folders(source.local)
    if links:
        raise UserError(
            f"{source}: contains links to folders, such as {links[0]}, whose content a move would "
            "leave where it is; copy the workspace, and remove it by hand",
            code="linked-folders",
            workspace=str(source),
            links=[str(link) for link in links],
        )
