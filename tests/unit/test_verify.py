"""Damage is found, said, and marked, so that the next run makes good what was damaged."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import zarr

from overlap.catalog import Catalog, list_data
from overlap.config import RunConfig
from overlap.errors import CorruptError, NotReadyError, WorkspaceLockedError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.locks import run_lock
from overlap.workspace.pending import pending_work
from overlap.workspace.status import read_status
from overlap.workspace.verify import Fault, repair, verify_and_repair, verify_workspace
from overlap.workspace.workspace import Workspace
from support.errors import raises
from support.run_steps import computed
from support.trials import trial

Ready = tuple[Catalog, FeatureStore]


def faults(config: RunConfig, recompute: int | None = 0) -> list[Fault]:
    """The faults of the workspace, which are repaired where possible."""
    workspace = Location.of(config.workspace)
    found = verify_workspace(workspace, recompute).faults
    repair(workspace, found)
    return list(found)


@pytest.fixture
def arrays(ready: Ready, config: RunConfig) -> zarr.Group:
    return zarr.open_group(f"{config.workspace}/features.zarr", mode="r+")


def test_nothing_is_wrong(ready: Ready, config: RunConfig) -> None:
    assert faults(config, None) == []


def test_a_changed_value(ready: Ready, config: RunConfig, arrays: zarr.Group) -> None:
    arrays["mel"][40, 0, 0, 0] += 1
    (fault,) = faults(config)
    assert fault == Fault(fault.what, block=2)
    assert "rows 32 to 47" in fault.what
    assert [block.index for block in ready[1].missing(ready[0])] == [2]


def test_lost_counts(ready: Ready, config: RunConfig, arrays: zarr.Group) -> None:
    """A chunk that is not there must not read as a number: the statistics would follow it."""
    before = ready[1].normalisation("train", 80.0)
    shutil.rmtree(f"{config.workspace}/features.zarr/blocks/histogram/c/2")
    item = f"{config.workspace}/features.zarr: counts of block 2"
    with raises(CorruptError, "corrupt-features", item=item):
        ready[1].normalisation("train", 80.0)
    (fault,) = faults(config)
    assert fault == Fault(fault.what, block=2)
    catalog, store = computed(config)
    assert store.normalisation("train", 80.0) == before
    assert faults(config, None) == []


@pytest.mark.parametrize("name", ["clip_id", "split", "valid"])
def test_changed_columns(ready: Ready, config: RunConfig, arrays: zarr.Group, name: str) -> None:
    arrays[name][3] = {"clip_id": "other", "split": 1, "valid": False}[name]
    (fault,) = faults(config)
    assert fault == Fault(fault.what, columns=True)
    assert faults(config) == []


def test_sound_that_changed_unseen_is_looked_at_again(config: RunConfig, tmp_path: Path) -> None:
    """A bit that flips on the disk of the data: the file's times tell nothing."""
    folder = Path(shutil.copytree(config.data, tmp_path / "copy"))
    config = config.model_copy(update={"data": str(folder)})
    computed(config)
    place = Location.of(config.workspace)
    file = folder / "train" / "train_000020.wav"
    content = bytearray(file.read_bytes())
    content[5000] ^= 255
    file.write_bytes(content)
    known = {entry.name: entry.version for entry in Location.of(folder / "train").files()}
    catalog = Catalog.load(place)
    catalog.clips.loc[20, "version"] = known[file.name]  # as if the times had not changed
    catalog.save(place)
    assert pending_work(config, list_data(config.data)).clips == 0
    (fault,) = faults(config, None)
    assert fault == Fault(fault.what, clips_of_block=1)
    assert pending_work(config, list_data(config.data)).clips > 0
    again, store = computed(config, Catalog.load(place))
    assert again.clips["digest"][20] != catalog.clips["digest"][20]
    assert again.clips["digest"].drop(20).tolist() == catalog.clips["digest"].drop(20).tolist()
    assert faults(config, None) == []
    assert store.missing(again) == []


def test_a_damaged_record_of_a_member(ready: Ready, config: RunConfig) -> None:
    folder = Path(config.workspace) / "members" / "abc"
    folder.mkdir(parents=True)
    (folder / "member.json").write_text("{")
    assert read_status(Location.of(config.workspace)).members[0].state == "damaged"
    (fault,) = faults(config)
    assert fault == Fault(fault.what, member="abc")
    assert "members/abc/member.json" in fault.what
    assert not folder.exists()
    assert read_status(Location.of(config.workspace)).members == ()


def test_a_champion_that_is_gone(ready: Ready, config: RunConfig) -> None:
    champion = Path(config.workspace) / "champion.json"
    champion.write_text(json.dumps({"version": "v1"}))
    (fault,) = faults(config)
    assert fault == Fault(fault.what)
    assert "champion v1" in fault.what


def test_blocks_are_computed_again_on_demand(ready: Ready, config: RunConfig) -> None:
    result = verify_workspace(Location.of(config.workspace), recompute=3)
    assert (result.blocks, result.blocks_recomputed, result.faults) == (8, 3, ())
    assert np.all([result.members == 0, result.ensembles == 0])


@trial(
    "R",
    "`overlap verify --repair` while a run replaces a file",
    "own",
    "Files are compared without the run lock: what the run is writing is removed as damaged "
    "once it has ended.",
    "Files are compared and repaired under the run lock; a running run ends it with "
    "`workspace-locked`.",
)
def test_a_repair_never_inspects_what_a_run_is_writing(ready: Ready, config: RunConfig) -> None:
    place = Location.of(config.workspace)
    FeatureStore.open(place, read_only=False).mark_missing(0)  # a run computes it again
    inside, leave = threading.Event(), threading.Event()

    def run() -> None:
        with run_lock(place):
            inside.set()
            leave.wait(60)

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(run)
        assert inside.wait(60)
        with raises(WorkspaceLockedError, "workspace-locked"):
            verify_and_repair(Workspace.of(place), recompute=0)
        leave.set()
        other.result()
    result, marked = verify_and_repair(Workspace.of(place), recompute=0)
    assert ([f.what for f in result.faults], marked) == (
        ["features: 1 blocks are missing; run `overlap features`"],
        0,
    )


def test_a_repair_marks_what_is_damaged_now(ready: Ready, config: RunConfig) -> None:
    place = Location.of(config.workspace)
    (place / "members/abc/member.json").write_bytes(b"{")
    result, marked = verify_and_repair(Workspace.of(place), recompute=0)
    assert ([f.member for f in result.faults], marked) == (["abc"], 1)
    assert verify_and_repair(Workspace.of(place), recompute=0)[0].faults == ()


def test_a_repair_makes_no_folder(tmp_path: Path) -> None:
    with pytest.raises(NotReadyError):
        verify_and_repair(Workspace.of(tmp_path / "nothing"))
    assert [*tmp_path.iterdir()] == []
