"""Stored predictions are bounded; what is in use, recent or unknown stays."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overlap.io.location import Location
from overlap.prediction.retention import KEPT, KEPT_FOR, mark_used, remove_old_predictions
from support.trials import trial

NOW = datetime.now(UTC)
OLD = (NOW - KEPT_FOR - timedelta(days=1)).timestamp()


def stored(workspace: Path, name: str, days: float, file: str = "0123456789abcdef.npz") -> Path:
    """A folder of predictions that was last used so many days ago."""
    place = workspace / "predictions" / name
    place.mkdir(parents=True, exist_ok=True)
    (place / file).write_bytes(b"x")
    time = (NOW - timedelta(days=days)).timestamp()
    for entry in place.iterdir():
        os.utime(entry, (time, time))
    return place


def names(workspace: Path) -> set[str]:
    return {folder.name for folder in (workspace / "predictions").iterdir()}


@trial(
    "R",
    "A service predicts another folder every day for a year",
    "own",
    "`predictions/` of the workspace grows without limit.",
    "Folders stay for 30 days after their last use, and the 20 that were used last in any case.",
)
def test_predictions_are_bounded(tmp_path: Path) -> None:
    for day in range(365):
        stored(tmp_path, f"{day:016x}", day)
    removed = remove_old_predictions(Location.of(tmp_path), NOW)
    assert names(tmp_path) == {f"{day:016x}" for day in range(31)}
    assert len(removed) == 365 - 31
    assert remove_old_predictions(Location.of(tmp_path), NOW) == ()


def test_the_last_used_stay_however_old(tmp_path: Path) -> None:
    for day in range(KEPT + 5):
        stored(tmp_path, f"{day:016x}", 400 + day)
    remove_old_predictions(Location.of(tmp_path), NOW)
    assert names(tmp_path) == {f"{day:016x}" for day in range(KEPT)}


def test_a_folder_in_use_stays(tmp_path: Path) -> None:
    for day in range(KEPT + 5):
        stored(tmp_path, f"{day:016x}", 400 + day)
    oldest = Location.of(tmp_path) / f"predictions/{KEPT + 4:016x}"
    mark_used(oldest)
    remove_old_predictions(Location.of(tmp_path))
    assert oldest.is_folder()
    assert len(names(tmp_path)) == KEPT


@trial(
    "R",
    "Old predictions in a format of a later release",
    "own",
    "correct",
    "A folder with a file of an unknown kind is never removed.",
)
@pytest.mark.parametrize("file", ["0123.parquet", "format.json", ".hidden"])
def test_what_is_unknown_stays(tmp_path: Path, file: str) -> None:
    for day in range(KEPT + 5):
        stored(tmp_path, f"{day:016x}", 400 + day, file)
    for number in range(3):
        (stored(tmp_path, f"below{number}", 500) / "folder").mkdir()
    before = names(tmp_path)
    assert remove_old_predictions(Location.of(tmp_path), NOW) == ()
    assert names(tmp_path) == before


def test_without_predictions_nothing_happens(tmp_path: Path) -> None:
    assert remove_old_predictions(Location.of(tmp_path / "w")) == ()
    assert not (tmp_path / "w").exists()


def test_predictions_on_an_object_store() -> None:
    workspace = Location.of("memory://old-predictions")
    try:
        for number in range(KEPT + 2):
            folder = workspace / f"predictions/{number:016x}"
            (folder / "a.npz").write_bytes(b"x")
            mark_used(folder)
        assert remove_old_predictions(workspace) == ()
        later = datetime.now(UTC) + KEPT_FOR + timedelta(days=1)
        assert len(remove_old_predictions(workspace, later)) == 2
        assert len((workspace / "predictions").folders()) == KEPT
    finally:
        workspace.remove()
