"""`overlap workspace`: backups are restored, and copies are consistent while a run works."""

import json
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from overlap.catalog import Catalog
from overlap.ensemble import registry
from overlap.io.location import Location
from overlap.workspace.transfer.copying import copy_workspace
from overlap.workspace.verify import verify_workspace
from support.earlier_workspace import Earlier
from support.processes import OVERLAP, object_store, stop

pytestmark = pytest.mark.extended


def written(folder: Path, *parts: str) -> dict[str, int]:
    return {
        str(file.relative_to(folder)): file.stat().st_mtime_ns
        for part in parts
        for file in sorted((folder / part).rglob("*"))
        if file.is_file()
    }


def test_a_restored_backup_is_complete(
    overlap, finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """It passes `verify --all`, and a run in it computes and trains nothing."""
    backups, restored = tmp_path / "backups", tmp_path / "restored"
    options = ("--workspace", finished.workspace, "--json")
    made = json.loads(overlap("workspace", "backup", backups, "--keep", 1, *options).stdout)
    again = json.loads(overlap("workspace", "backup", backups, "--keep", 1, *options).stdout)
    assert again["removed"] == [made["copy"]["target"]]
    said = overlap("workspace", "copy", restored, "--workspace", again["copy"]["target"]).stdout
    assert "all compared" in said
    assert "OK" in overlap("verify", "--all", "--workspace", restored).stdout
    before = written(restored, "members", "features.zarr", "ensembles")
    done = overlap("run", "--data", data, "--workspace", restored, "--config", tiny, "--json")
    (record,) = registry.list_ensembles(Location.of(finished.workspace))
    assert json.loads(done.stdout)["version"] == record.version
    assert written(restored, "members", "features.zarr", "ensembles") == before


def test_to_an_object_store_and_back(overlap, earlier: Earlier, tmp_path: Path) -> None:
    before = earlier.contents()
    back = tmp_path / "back"
    with object_store() as s3, pytest.MonkeyPatch.context() as patch:
        for name, value in s3.items():
            patch.setenv(name, value)
        import s3fs

        store = s3fs.S3FileSystem(skip_instance_cache=True)
        store.mkdir("bucket")
        overlap("workspace", "copy", "s3://bucket/w", "--workspace", earlier.workspace, **s3)
        moved = overlap(
            "workspace", "move", back, "--workspace", "s3://bucket/w", "--json", **s3
        )  # fmt: skip
        assert json.loads(moved.stdout)["files"] == len(before)
        store.invalidate_cache()
        assert store.find("bucket") == []
    assert Earlier(back, earlier.data).contents() == before


@pytest.mark.nightly
def test_copies_during_a_run(data: Path, tiny: Path, environment, tmp_path: Path) -> None:
    """Copies that begin in every stage are without damage, and a run completes each."""
    workspace = tmp_path / "workspace"
    options = ("run", "--data", data, "--config", tiny, "--workspace")
    run = subprocess.Popen(
        [OVERLAP, *map(str, options), str(workspace)], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    copies: list[Path] = []
    try:
        while run.poll() is None:
            if (workspace / "catalog.parquet").exists():
                copies.append(tmp_path / f"copy-{len(copies)}")
                copy_workspace(Location.of(workspace), Location.of(copies[-1]))
            time.sleep(1)
    finally:
        stop(run)
    assert run.returncode == 0
    states = set()
    for copy in copies:
        location = Location.of(copy)
        if (copy / "features.zarr" / "zarr.json").exists():
            found = verify_workspace(location, 0)
            faults = [fault.what for fault in found.faults]
            assert not [what for what in faults if "are missing; run" not in what]
            states.add((found.blocks, found.members, found.ensembles))
        assert len(Catalog.load(location)) == 120
    assert len(states) > 2, "the run was too fast"
    for copy in (copies[0], copies[len(copies) // 2]):
        subprocess.run(
            [OVERLAP, *map(str, options), str(copy)], env=environment, check=True,
            stdout=subprocess.DEVNULL, timeout=300,
        )  # fmt: skip
        assert not verify_workspace(Location.of(copy), None).faults


@pytest.mark.nightly
def test_a_run_after_a_withdrawal_learns_without_the_clips(
    overlap, finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """The members of the next run are others, and none of them has the withdrawn speaker."""
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    place, options = Location.of(workspace), ("--workspace", workspace)
    before = Catalog.load(place)
    group = before.clips.loc[before.rows("train"), "group"].iloc[0]
    gone = {*before.clips.index[before.clips["group"] == group]}
    (old,) = registry.list_ensembles(place)
    said = json.loads(overlap("withdraw", "--group", group, *options, "--yes", "--json").stdout)
    assert [version["version"] for version in said["versions"]] == [old.version]

    overlap("run", "--data", data, *options, "--config", tiny)
    new = registry.list_ensembles(place)[-1]
    assert not {*new.members} & {*old.members}
    catalog = Catalog.load(place)
    assert not {*catalog.rows("train")} & gone
    trained = before.clips.loc[[*gone], "clip_id"]
    assert set(catalog.clips.set_index("clip_id").loc[trained, "state"]) <= {"removed"}
    assert not {*registry.read_predictions(place, new)["held_out_rows"]} & gone
    assert "OK" in overlap("verify", "--all", *options).stdout
