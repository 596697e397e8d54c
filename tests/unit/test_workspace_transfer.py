"""Copies, moves and backups of a real workspace: complete, resumed, and refused."""

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overlap.catalog import Catalog
from overlap.errors import CorruptError, NotReadyError, UserError, WorkspaceLockedError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.io.workspace_paths import COPY_FILE, MOVED_FILE
from overlap.promotion.champion import champion
from overlap.workspace.transfer import copying
from overlap.workspace.transfer.backups import backup_workspace
from overlap.workspace.transfer.copying import copy_workspace
from overlap.workspace.transfer.files import content, in_reading_order, is_marker, is_transient
from overlap.workspace.transfer.moving import move_workspace
from overlap.workspace.verify import verify_workspace
from overlap.workspace.workspace import Workspace
from support.earlier_workspace import Earlier
from support.errors import raises


def contents(folder: Path) -> dict[str, bytes]:
    return {
        file.relative_to(folder).as_posix(): file.read_bytes()
        for file in folder.rglob("*")
        if file.is_file()
    }


class StoppedError(Exception):
    """Ends a copy."""


def interrupted_after(files: int) -> Callable[[int, int], None]:
    def on_progress(done: int, _all: int) -> None:
        if done == files:
            raise StoppedError

    return on_progress


def test_a_copy_is_the_same_workspace(earlier: Earlier, tmp_path: Path) -> None:
    before, target = contents(earlier.workspace), tmp_path / "copies" / "a"
    report = copy_workspace(earlier.location, Location.of(target))
    assert contents(target) == before == contents(earlier.workspace)
    assert (report.files, report.reused, report.blocks_left_out) == (len(before), 0, 0)
    assert report.bytes == sum(map(len, before.values()))
    assert verify_workspace(Location.of(target), 0) == verify_workspace(earlier.location, 0)
    with raises(UserError, "folder-not-empty"):
        copy_workspace(earlier.location, Location.of(target))


def test_files_of_processes_are_not_copied(earlier: Earlier, tmp_path: Path) -> None:
    (earlier.workspace / ".seen-0123").write_bytes(b"")
    (earlier.workspace / ".costs.json.01234567.part").write_bytes(b"")
    with run_lock(earlier.location):
        copy_workspace(earlier.location, Location.of(tmp_path / "a"))
    assert not [name for name in contents(tmp_path / "a") if is_transient(name)]


def test_an_interrupted_copy_never_looks_complete_and_is_resumed(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = Location.of(tmp_path / "a")
    with pytest.raises(StoppedError):
        copy_workspace(earlier.location, target, interrupted_after(5))
    assert not any(is_marker(name) for name in contents(tmp_path / "a"))
    with raises(NotReadyError, "no-catalog"):
        Catalog.load(target)
    with raises(UserError, "incomplete-copy"):
        Workspace.of(target).check_usable()
    with raises(UserError, "incomplete-copy"):
        copy_workspace(target, Location.of(tmp_path / "b"))
    other = Path(shutil.copytree(earlier.workspace, tmp_path / "other"))
    with raises(UserError, "other-copy"):
        copy_workspace(Location.of(other), target)
    # The journal is written every ten seconds; here for every file, so that all are known.
    monkeypatch.setattr("overlap.workspace.transfer.journal.WRITE_SECONDS", 0.0)
    with pytest.raises(StoppedError):
        copy_workspace(earlier.location, target, interrupted_after(5))
    report = copy_workspace(earlier.location, target)
    assert report.reused >= 5
    assert contents(tmp_path / "a") == contents(earlier.workspace)
    assert not (tmp_path / "a" / COPY_FILE).exists()
    Workspace.of(target).check_usable()


def test_an_interruption_before_the_last_files_is_resumed(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was removed or changed in the source meanwhile is not in the copy."""
    target = Location.of(tmp_path / "a")
    with monkeypatch.context() as patch:
        patch.setattr(copying.Journal, "close", lambda _self: (_ for _ in ()).throw(StoppedError()))
        with pytest.raises(StoppedError):
            copy_workspace(earlier.location, target)
    with raises(UserError, "incomplete-copy"):
        Workspace.of(target).check_usable()
    shutil.rmtree(earlier.workspace / "predictions")
    costs = earlier.workspace / "quarantine.parquet"
    costs.write_bytes(costs.read_bytes() + b" ")
    copy_workspace(earlier.location, target)
    assert contents(tmp_path / "a") == contents(earlier.workspace)


def changing(monkeypatch: pytest.MonkeyPatch, change: Callable[[int], None]) -> None:
    """Call a function with the number of the pass at the end of each pass over the files."""
    copied, passes = copying._Copy._copy_files, []

    def copy_files(self: copying._Copy, *, first: bool) -> None:
        copied(self, first=first)
        passes.append(first)
        change(len(passes))

    monkeypatch.setattr(copying._Copy, "_copy_files", copy_files)


def test_a_block_that_a_run_computes_is_left_out(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = FeatureStore.open(earlier.location, read_only=False)
    changing(monkeypatch, lambda _number: store.mark_missing(0))
    report = copy_workspace(earlier.location, Location.of(tmp_path / "a"))
    assert report.blocks_left_out == 1
    target = Location.of(tmp_path / "a")
    catalog = Catalog.load(target)
    assert [block.index for block in FeatureStore.open(target).missing(catalog)] == [0]


def test_a_member_that_changes_is_copied_again(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A member predicts new test clips: its predictions change first, then its record."""
    folder = min((earlier.workspace / "members").iterdir())

    def change(number: int) -> None:
        if number == 1:
            (folder / "predictions.npz").write_bytes(b"new")
            (folder / "member.json").write_bytes(b"new")

    changing(monkeypatch, change)
    copy_workspace(earlier.location, Location.of(tmp_path / "a"))
    assert contents(tmp_path / "a") == contents(earlier.workspace)


def test_a_workspace_that_changes_all_the_time_is_refused(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    record = earlier.workspace / "champion.json"
    changing(monkeypatch, lambda number: record.write_bytes(b" " * number) and None)
    with raises(UserError, "workspace-changing"):
        copy_workspace(earlier.location, Location.of(tmp_path / "a"))
    with raises(NotReadyError, "no-catalog"):
        Catalog.load(Location.of(tmp_path / "a"))


def test_a_target_that_damages_files_is_noticed(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "a"
    damaged = next(path for path in content(earlier.location) if path.endswith("model.keras"))
    with monkeypatch.context() as patch:
        changing(patch, lambda _number: (target / damaged).write_bytes(b"x") and None)
        with raises(CorruptError, "copy-differs", files=[damaged]):
            move_workspace(earlier.location, Location.of(target))
    assert champion(earlier.location)  # the source is still there
    copy_workspace(earlier.location, Location.of(target))
    assert contents(target) == contents(earlier.workspace)


def test_targets_are_refused_before_anything_is_written(earlier: Earlier, tmp_path: Path) -> None:
    source = earlier.location
    for target in (earlier.workspace, earlier.workspace / "a", tmp_path):
        with raises(UserError, "copy-into-itself"):
            copy_workspace(source, Location.of(target))
    file = tmp_path / "file"
    file.write_bytes(b"")
    with raises(UserError, "target-is-file"):
        copy_workspace(source, Location.of(file))
    with raises(UserError, "out-not-writable"):
        copy_workspace(source, Location.of(file / "a"))
    with raises(NotReadyError, "no-catalog"):
        copy_workspace(Location.of(tmp_path / "nothing"), Location.of(tmp_path / "a"))
    assert not (tmp_path / "a").exists()


def test_a_link_stays_and_its_folder_is_filled(earlier: Earlier, tmp_path: Path) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "a").symlink_to(tmp_path / "disk")
    copy_workspace(earlier.location, Location.of(tmp_path / "a"))
    assert (tmp_path / "a").is_symlink()
    assert contents(tmp_path / "disk") == contents(earlier.workspace)


def test_a_move_removes_the_source_last(earlier: Earlier, tmp_path: Path) -> None:
    before = contents(earlier.workspace)
    report = move_workspace(earlier.location, Location.of(tmp_path / "a"))
    assert report is not None
    assert contents(tmp_path / "a") == before
    assert not earlier.workspace.exists()


def test_a_move_waits_for_no_run_and_leaves_no_links(earlier: Earlier, tmp_path: Path) -> None:
    import contextvars

    before, target = contents(earlier.workspace), Location.of(tmp_path / "a")
    with run_lock(earlier.location), raises(WorkspaceLockedError, "workspace-locked"):
        contextvars.Context().run(move_workspace, earlier.location, target)
    shutil.move(earlier.workspace / "members", tmp_path / "members")
    (earlier.workspace / "members").symlink_to(tmp_path / "members")
    with raises(UserError, "linked-folders"):
        move_workspace(earlier.location, target)
    copy_workspace(earlier.location, target)
    assert contents(tmp_path / "a") == before


def test_an_interrupted_removal_is_resumed(
    earlier: Earlier, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, target = contents(earlier.workspace), Location.of(tmp_path / "a")
    with monkeypatch.context() as patch:
        folders = Location.folders
        patch.setattr(
            Location, "folders",
            lambda self: (_ for _ in ()).throw(StoppedError())
            if self == earlier.location else folders(self),
        )  # fmt: skip
        with pytest.raises(StoppedError):
            move_workspace(earlier.location, target)
    assert (earlier.workspace / MOVED_FILE).exists()
    with raises(UserError, "workspace-moved"):
        Workspace.of(earlier.location).check_usable()
    with raises(UserError, "workspace-moved", target=str(target)):
        move_workspace(earlier.location, Location.of(tmp_path / "b"))
    assert move_workspace(earlier.location, target) is None
    assert contents(tmp_path / "a") == before
    assert not earlier.workspace.exists()


def test_backups_are_dated_resumed_and_limited(earlier: Earlier, tmp_path: Path) -> None:
    folder, start = Location.of(tmp_path / "backups"), datetime(2026, 11, 28, tzinfo=UTC)
    times = [start + timedelta(days=day) for day in range(4)]
    for time in times[:3]:
        backup_workspace(earlier.location, folder, now=time)
    with pytest.raises(StoppedError):
        backup_workspace(earlier.location, folder, 2, interrupted_after(5), times[3])
    assert len(folder.folders()) == 4
    report = backup_workspace(earlier.location, folder, 2)
    assert report.copy.target.endswith("workspace-20261201-000000")
    assert [name[-15:] for name in report.removed] == ["20261128-000000", "20261129-000000"]
    assert folder.folders() == ["workspace-20261130-000000", "workspace-20261201-000000"]
    for name in folder.folders():
        assert contents(tmp_path / "backups" / name) == contents(earlier.workspace)


def test_markers_are_read_before_what_they_refer_to() -> None:
    paths = [
        "members/a/member.json", "ensembles/v/ensemble.json", "champion.json",
        "features.zarr/blocks/key/c/0/0", "catalog.parquet", "members/a/model.keras",
        "features.zarr/blocks/key/zarr.json",
    ]  # fmt: skip
    assert in_reading_order(paths) == [paths[2], paths[1], paths[0], paths[3]]
