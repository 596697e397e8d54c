"""The object that the stages of a run share."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from overlap.catalog import Catalog, build_catalog, list_data
from overlap.config import ChecksConfig, FeatureConfig, RunConfig
from overlap.errors import NotReadyError, UserError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.promotion.champion import promote
from overlap.workspace import workspace as module
from overlap.workspace.pending import pending_work
from overlap.workspace.workspace import Workspace
from support.counted_calls import counted_calls
from support.run_steps import catalogue, publish_record, published

Ready = tuple[Catalog, FeatureStore]


def built(data: Path | str, previous: Catalog | None = None) -> Catalog:
    wanted = FeatureConfig().clip_format
    return build_catalog(list_data(str(data)), wanted, ChecksConfig(), previous).catalog


def test_one_object_serves_an_address_while_it_is_shared(workspace: Location) -> None:
    with Workspace.of(workspace).shared() as outer:
        with Workspace.of(str(workspace)).shared() as inner:
            assert inner is outer
        with inner.lock() as changed, inner.lock() as again:
            assert (changed, again) == (False, False)
            assert Workspace.of(workspace) is outer
        assert Workspace.of(workspace) is outer
    assert Workspace.of(workspace) is not outer


def test_the_lock_is_released_after_an_error(workspace: Location) -> None:
    held = Workspace.of(workspace)

    def fail() -> None:
        with held.lock():
            assert held.paths.run_lock is not None
            assert held.paths.run_lock.exists()
            raise OSError(28, "disk full")

    with pytest.raises(OSError, match="disk full"):
        fail()
    assert held.paths.run_lock is not None
    assert not held.paths.run_lock.exists()
    assert Workspace.of(workspace) is not held
    with held.lock():
        assert held.paths.run_lock.exists()


def test_catalogue_and_store_are_read_once(
    ready: Ready, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = Workspace.of(config.workspace)
    catalog, store = workspace.catalog, workspace.store
    monkeypatch.setattr(Catalog, "load", None)
    monkeypatch.setattr(FeatureStore, "open", None)
    with workspace.lock() as changed:
        assert not changed
        assert workspace.catalog is workspace.find_catalog() is catalog
        assert workspace.store is workspace.find_store(config.features) is store


def test_other_features_are_refused_after_the_store_was_opened(
    ready: Ready, config: RunConfig
) -> None:
    workspace = Workspace.of(config.workspace)
    assert workspace.store.config == config.features
    with pytest.raises(UserError):
        workspace.find_store(FeatureConfig(clip_seconds=0.9))


def test_what_is_missing_is_looked_for_again(config: RunConfig, workspace: Location) -> None:
    opened = Workspace.of(workspace)
    assert opened.find_catalog() is None
    assert opened.find_store(config.features) is None
    for name in ("catalog", "store"):
        with pytest.raises(NotReadyError):
            getattr(opened, name)
    made = catalogue(config)
    FeatureStore.create(workspace, config.features, config.store)
    assert opened.catalog.key(slice(None)) == made.key(slice(None))
    assert opened.store.config == config.features


def test_a_saved_catalogue_is_the_one_that_would_be_read(
    ready: Ready, config: RunConfig, tmp_path: Path
) -> None:
    """Also with clips that are gone, new or unusable."""
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    (folder / "test" / "test_000019.wav").rename(folder / "test" / "new.wav")
    template = (folder / "submission.csv").read_text().replace("test_000019", "new")
    (folder / "submission.csv").write_text(template)
    (folder / "train" / "train_000000.wav").write_bytes(b"no sound")
    workspace = Workspace.of(config.workspace)
    store = workspace.store
    catalog = built(folder, workspace.catalog)
    workspace.save_catalog(catalog)
    assert workspace.catalog is catalog
    assert workspace.store is not store
    stored = Catalog.load(workspace.location)
    assert stored.counts() == {"train": 99, "test": 20, "quarantined": 1, "removed": 1}
    assert catalog.clips.equals(stored.clips)
    assert catalog.labels.tobytes() == stored.labels.tobytes()
    assert (catalog.data, catalog.wanted, catalog.words) == (
        stored.data,
        stored.wanted,
        stored.words,
    )


def test_an_unchanged_catalogue_is_not_written_again(ready: Ready, config: RunConfig) -> None:
    workspace = Workspace.of(config.workspace)
    store, file = workspace.store, Path(config.workspace) / "catalog.parquet"
    before = file.stat()
    workspace.save_catalog(built(config.data, workspace.catalog))
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert workspace.store is store
    (Path(config.workspace) / "quarantine.parquet").unlink()
    workspace.save_catalog(built(config.data, workspace.catalog))
    assert (Path(config.workspace) / "quarantine.parquet").exists()
    assert file.stat().st_ino != before.st_ino


def test_a_catalogue_of_another_run_is_noticed_by_the_lock(
    ready: Ready, config: RunConfig, tmp_path: Path
) -> None:
    workspace = Workspace.of(config.workspace)
    listing, before = workspace.list_data(config), workspace.catalog
    before.save(workspace.location)  # as another process does
    with workspace.lock() as changed:
        assert changed
        assert workspace.catalog is not before
        assert workspace.list_data(config) is not listing
    with workspace.lock() as changed:
        assert not changed


def test_a_wait_for_the_lock_makes_what_was_read_stale(
    ready: Ready, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def busy(_: Location, *, wait: bool, on_wait) -> Iterator[None]:
        assert wait
        on_wait("another run")
        yield

    monkeypatch.setattr(module, "run_lock", busy)
    workspace, messages = Workspace.of(config.workspace), []
    listing = workspace.list_data(config)
    with workspace.lock(wait=True, on_wait=messages.append) as changed:
        assert changed
        assert workspace.list_data(config) is not listing
    assert messages == ["another run"]


def test_ensembles_and_champion_are_read_every_time(workspace: Location) -> None:
    opened = Workspace.of(workspace)
    assert (opened.ensembles(), opened.champion()) == ([], None)
    publish_record(workspace, published("v1"))
    assert [record.version for record in opened.ensembles()] == ["v1"]
    promote(workspace, "v1")
    assert opened.champion() == "v1"
    assert opened.aliases().history[-1].version == "v1"


def test_pending_work_uses_what_the_workspace_has_read(
    ready: Ready, config: RunConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted_calls(monkeypatch)
    with Workspace.of(config.workspace).shared() as workspace:
        for _ in range(2):
            assert not pending_work(config, workspace.list_data(config)).features
    assert calls == {"list": 1, "load": 1}
