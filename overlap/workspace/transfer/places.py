"""Checks of the source and the target of a copy, before anything is written."""

from overlap.errors import CorruptError, NotReadyError, StorageError, UserError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.workspace.transfer.files import content
from overlap.workspace.transfer.journal import Journal, JournalRecord, find_journal


def check_source(source: Location) -> None:
    """Refuse a source that is no workspace, or an incomplete one.

    Raises:
        NotReadyError: it has no catalogue (`no-catalog`).
        UserError: it is an incomplete copy (`incomplete-copy`) or was moved (`workspace-moved`).
    """
    paths = WorkspacePaths(source)
    check_whole(source)
    if not paths.catalog.exists():
        raise NotReadyError(
            f"{source}: is not a workspace, or no run has begun in it: it has no "
            f"{paths.catalog.name}",
            code="no-catalog",
            workspace=str(source),
        )


def check_whole(workspace: Location) -> None:
    """Refuse a workspace that is an incomplete copy, or that is being removed after a move.

    Raises:
        UserError: it is (`incomplete-copy`, `workspace-moved`).
    """
    paths = WorkspacePaths(workspace)
    if paths.copy.exists():
        raise UserError(
            f"{workspace}: is an incomplete copy of a workspace; repeat the command that copied "
            "it, or remove this folder",
            code="incomplete-copy",
            workspace=str(workspace),
        )
    if paths.moved.exists():
        raise UserError(
            f"{workspace}: was moved, and its removal was interrupted; repeat "
            "`overlap workspace move`",
            code="workspace-moved",
            workspace=str(workspace),
        )


def opened_target(source: Location, target: Location) -> tuple[Location, Journal]:
    """Return the target and the journal in it; a link to a folder stays, and the folder is filled.

    Args:
        source: The workspace.
        target: As in `copy_workspace`.

    Raises:
        UserError: the target is in an archive (`read-only-archive`), a file (`target-is-file`), in
            the source or around it (`copy-into-itself`), a folder with other content
            (`folder-not-empty`), an incomplete copy of another workspace (`other-copy`), or cannot
            be written (`out-not-writable`).
    """
    target.check_writable()
    if target.local is not None:
        target = Location(str(target.local.resolve()))
    own = str(source.local.resolve()) if source.local is not None else source.url
    if f"{target.url}/".startswith(f"{own}/") or f"{own}/".startswith(f"{target.url}/"):
        raise UserError(
            f"{target}: is the workspace {source}, is in it, or contains it; name another folder",
            code="copy-into-itself",
            target=str(target),
        )
    if target.exists() and not target.is_folder():
        raise UserError(
            f"{target}: is a file; name a folder", code="target-is-file", target=str(target)
        )
    found = _found_journal(target)
    if found is None and target.is_folder() and content(target):
        raise UserError(
            f"{target}: exists and is not empty; name another folder",
            code="folder-not-empty",
            path=str(target),
        )
    if found is not None and found.source not in ("", own):
        raise UserError(
            f"{target}: is an incomplete copy of {found.source}; name another folder, or remove it",
            code="other-copy",
            target=str(target),
            source=found.source,
        )
    journal = Journal(target, own, dict(found.files) if found is not None else {})
    try:
        journal.write()
    except StorageError as error:
        raise UserError(
            f"{target}: cannot be written: {error}; name another folder",
            code="out-not-writable",
            path=str(target),
        ) from error
    return target, journal


def _found_journal(target: Location) -> JournalRecord | None:
    try:
        return find_journal(target)
    except CorruptError:  # its files are unknown: all of them are copied again
        return JournalRecord(source="")
