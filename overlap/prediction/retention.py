"""Removes stored predictions that nothing has used for a long time.

Predictions are stored so that an interrupted or repeated prediction computes only what is missing.
Each pair of a data folder and an ensemble has a folder of its own below `predictions/`. Without a
limit, a service that predicts another folder every day would fill its disk. A removed prediction
is computed again where it is needed.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from overlap.errors import StorageError
from overlap.io.location import Location
from overlap.io.workspace_paths import WorkspacePaths
from overlap.prediction.jobs import PredictionJob

KEPT: Final = 20
"""Number of folders of predictions that stay, however old they are: those used last."""
KEPT_FOR: Final = timedelta(days=30)
"""Folders that were used within this time stay, however many they are."""
USED_FILE: Final = "used"
"""File that is rewritten whenever a prediction uses its folder."""
CHUNK_SUFFIX: Final = ".npz"


def keep_used_predictions(
    workspace: Location, jobs: Sequence[PredictionJob], note: Callable[[str], None]
) -> None:
    """Mark the chunks of some jobs as used, and remove those unused for long.

    The prediction itself does not depend on it: a workspace that cannot be written gets a note.

    Args:
        workspace: The workspace.
        jobs: The jobs of a prediction.
        note: Receives lines for the user.
    """
    try:
        for folder in {Location(job.out).parent for job in jobs}:
            mark_used(folder)
        removed = remove_old_predictions(workspace)
    except StorageError as error:
        note(f"old predictions are not removed: {error}")
        return
    if removed:
        note(f"removed: {len(removed)} predictions that were not used for {KEPT_FOR.days} days")


def mark_used(folder: Location) -> None:
    """Note that a folder of predictions is in use now.

    Raises:
        StorageError: it cannot be written.
    """
    (folder / USED_FILE).write_bytes(b"")


def remove_old_predictions(workspace: Location, now: datetime | None = None) -> tuple[str, ...]:
    """Remove the folders that are neither among the last used ones nor used recently.

    A folder with a file that this release does not know is kept: a later release wrote it.

    Args:
        workspace: The workspace.
        now: The time; None: that of the clock.

    Returns:
        The names of the removed folders, sorted.

    Raises:
        StorageError: the folder cannot be read or written.
    """
    root = WorkspacePaths(workspace).predictions
    used = {name: time for name in root.folders() if (time := _last_use(root / name))}
    latest = sorted(used, key=lambda name: used[name], reverse=True)
    oldest = (now or datetime.now(UTC)) - KEPT_FOR
    removed = sorted(name for name in latest[KEPT:] if used[name] < oldest)
    for name in removed:
        (root / name).remove()
    return tuple(removed)


def _last_use(folder: Location) -> datetime | None:
    """Return when a folder was last used; None if it holds something unknown."""
    unknown: list[str] = []
    names = [entry.name for entry in folder.files(unknown)]
    unknown += [n for n in names if n != USED_FILE and not n.endswith(CHUNK_SUFFIX)]
    if unknown or not names or folder.folders():
        return None
    try:
        return max((folder / name).modified() for name in names)
    except FileNotFoundError:  # another process removes it
        return None
