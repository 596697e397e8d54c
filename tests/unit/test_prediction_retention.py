"""Stored predictions that nothing has used for a long time are removed, and nothing else."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overlap.io.location import Location
from overlap.prediction.retention import KEPT, KEPT_FOR, mark_used, remove_old_predictions
from support.trials import trial

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def stored(workspace: Location, number: int, days: float) -> Path:
    """Write a folder of predictions that was used some days before `NOW`."""
    folder = Path(workspace.url) / "predictions" / f"{number:032x}"
    folder.mkdir(parents=True)
    (folder / "000.npz").write_bytes(b"x")
    mark_used(Location.of(folder))
    then = (NOW - timedelta(days=days)).timestamp()
    for file in folder.iterdir():
        os.utime(file, (then, then))
    return folder


@trial(
    "R",
    "a service that predicts another folder every day",
    source="own",
    before="`predictions/` grew without limit",
    now="what was not used for 30 days is removed, except the 20 folders used last",
)
def test_what_was_not_used_for_long_is_removed(workspace: Location) -> None:
    folders = [stored(workspace, number, 40 + number) for number in range(KEPT + 2)]
    removed = remove_old_predictions(workspace, NOW)
    assert removed == tuple(folder.name for folder in folders[KEPT:])
    assert [folder.exists() for folder in folders] == [True] * KEPT + [False] * 2
    assert remove_old_predictions(workspace, NOW) == ()


def test_many_that_were_used_lately_stay(workspace: Location) -> None:
    for number in range(KEPT + 5):
        stored(workspace, number, KEPT_FOR.days - 1)
    assert remove_old_predictions(workspace, NOW) == ()


@pytest.mark.parametrize("unknown", ["index.json", "parts/000.npz"])
def test_a_folder_with_unknown_content_stays(workspace: Location, unknown: str) -> None:
    """A later release may keep more than chunks."""
    for number in range(KEPT):
        stored(workspace, number, 1)
    folder = stored(workspace, KEPT, 400)
    (folder / unknown).parent.mkdir(exist_ok=True)
    (folder / unknown).write_bytes(b"{}")
    assert remove_old_predictions(workspace, NOW) == ()
    assert folder.exists()
    other = stored(workspace, KEPT + 1, 400)
    assert remove_old_predictions(workspace, NOW) == (other.name,)


def test_a_workspace_without_predictions(workspace: Location) -> None:
    assert remove_old_predictions(workspace, NOW) == ()
