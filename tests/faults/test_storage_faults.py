"""Storage that fails: full and read-only disks, writes that end half way, a flaky object store."""

import gc
import os
import subprocess
import urllib.request
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from overlap.config import RunConfig
from overlap.errors import RESUME_HINT, StorageError
from overlap.features import FeatureStore, block_job, extract_block
from overlap.io.location import Location
from overlap.io.storage_errors import storage_errors
from support.fault_tables import write_table
from support.file_systems import largest_file
from support.flaky_proxy import FAULTS, Plan, flaky
from support.process_fixtures import submission
from support.processes import object_store
from support.run_steps import Finished, computed
from support.running_service import missing


def test_a_write_that_fails_half_way_leaves_what_was_there(tmp_path: Path) -> None:
    place = Location.of(tmp_path / "record")
    place.write_bytes(b"of before")
    with largest_file(10_000), pytest.raises(StorageError, match="record: File too large"):
        place.write_bytes(bytes(20_000))
    assert place.read_bytes() == b"of before"
    assert [file.name for file in tmp_path.iterdir()] == ["record"]


def test_a_block_that_cannot_be_written_is_not_done(config: RunConfig, ready) -> None:
    catalog, store = ready
    workspace, expected = Location.of(config.workspace), store.read_rows(0, len(catalog))
    block = store.blocks(catalog)[3]
    writing = FeatureStore.open(workspace, read_only=False)
    writing.mark_missing(block.index)
    with (
        largest_file(100_000),
        pytest.raises(StorageError, match=f"features.zarr: .*; {RESUME_HINT}"),
    ):
        extract_block(block_job(workspace, catalog, block))
    assert [left.index for left in writing.missing(catalog)] == [3]
    extract_block(block_job(workspace, catalog, block))
    found = FeatureStore.open(workspace).read_rows(0, len(catalog))
    assert np.array_equal(found.view(np.uint16), expected.view(np.uint16))


def test_what_an_object_store_fails_with_is_named() -> None:
    """Not all of it is an OSError."""
    exceptions = pytest.importorskip("botocore.exceptions")
    named = pytest.raises(StorageError, match=f"s3://b: Could not connect .*; {RESUME_HINT}")
    with named, storage_errors("s3://b"):
        raise exceptions.EndpointConnectionError(endpoint_url="http://127.0.0.1:1")
    with pytest.raises(KeyError), storage_errors("s3://b"):
        raise KeyError("a fault of our own")


# --- whole runs on a disk that is too small, or read-only ------------------------------------


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 3 MB."""
    if os.geteuid() != 0:
        missing("a disk of its own needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    made = ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(folder)]
    done = subprocess.run(made, capture_output=True, text=True, check=False)
    if done.returncode:
        missing(f"no disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def leave(disk: Path, free: int) -> None:
    """Shrink a disk so that so many bytes are free."""
    found = os.statvfs(disk)
    used = (found.f_blocks - found.f_bfree) * found.f_frsize
    remount(disk, f"size={(used + free) // 1024}k")


@pytest.mark.faults
def test_a_full_disk(overlap, finished: Finished, data: Path, tiny: Path, disk: Path) -> None:
    """Full in the features, in the training, in the publication; then there is room."""
    options = ("--data", data, "--workspace", disk / "w", "--config", tiny)
    for stage, command in (
        ("features", "features"), ("training", "train"), ("publication", "run")
    ):  # fmt: skip
        printed = overlap("run", *options, code=1).stderr
        assert "Traceback" not in printed
        assert "No space left on device" in printed
        assert _stage(disk / "w") == stage
        remount(disk, "size=20m")
        overlap(command, *options)
        leave(disk, 49_152)
    assert submission(disk / "w") == finished.submission
    assert "OK" in overlap("verify", "--workspace", disk / "w", "--all").stdout
    assert list((disk / "w").rglob("*.part")) == []


def _stage(workspace: Path) -> str:
    if len(list(workspace.glob("members/*/member.json"))) == 2:
        return "publication"
    return "training" if (workspace / "members").is_dir() else "features"


@pytest.mark.faults
def test_a_read_only_disk(overlap, finished: Finished, data: Path, tiny: Path, disk: Path) -> None:
    """Nothing can be made there; what is there can be looked at."""
    options = ("--data", data, "--workspace", disk / "w", "--config", tiny)
    remount(disk, "size=20m")
    overlap("features", *options)
    remount(disk, "ro")
    printed = overlap("run", *options, code=1).stderr
    assert "Traceback" not in printed
    assert "Read-only file system" in printed
    assert "8 of 8" in overlap("status", "--workspace", disk / "w").stdout
    assert "OK" in overlap("verify", "--workspace", disk / "w").stdout
    remount(disk, "rw")
    overlap("run", *options)
    assert submission(disk / "w") == finished.submission


# --- object stores ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def store() -> Iterator[str]:
    """An object store with the bucket `bucket`."""
    pytest.importorskip("s3fs")
    with object_store() as environment:
        url = environment["AWS_ENDPOINT_URL"]
        urllib.request.urlopen(urllib.request.Request(f"{url}/bucket", method="PUT")).close()
        yield url


@pytest.fixture
def through(store: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    """s3:// goes through a proxy that fails as its plan says."""
    import s3fs

    plan = Plan(0.0)
    with flaky(store, plan) as url:
        for name, value in {
            "AWS_ENDPOINT_URL": url, "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():  # fmt: skip
            monkeypatch.setenv(name, value)
        s3fs.S3FileSystem.clear_instance_cache()
        yield plan
        s3fs.S3FileSystem.clear_instance_cache()
        with warnings.catch_warnings(action="ignore", category=ResourceWarning):
            gc.collect()  # s3fs leaves sessions open whose requests failed


@pytest.mark.faults
def test_a_flaky_store_gives_the_same_features(
    through: Plan, config: RunConfig, ready, data: Path
) -> None:
    """One request in ten fails: catalogue, features and counts are those of the disk."""
    Location.of("s3://bucket/data").remove()
    import s3fs

    s3fs.S3FileSystem().put(str(data), "bucket/data", recursive=True)
    through.share = 0.1
    there = config.model_copy(update={"data": "s3://bucket/data", "workspace": "s3://bucket/w"})
    catalog, found = computed(there)
    expected, local = ready
    columns = ["clip_id", "digest", "state", "reason", "repairs"]
    assert catalog.clips[columns].equals(expected.clips[columns])
    assert np.array_equal(found.histogram(), local.histogram())
    count = len(catalog)
    assert np.array_equal(
        found.read_rows(0, count).view(np.uint16), local.read_rows(0, count).view(np.uint16)
    )
    assert all(through.done[fault] for fault in FAULTS)
    write_table(
        "object-store", ("the store", "requests"), [("answered", through.done["ok"]), *(
            (fault, through.done[fault]) for fault in FAULTS
        )],
    )  # fmt: skip


@pytest.mark.faults
def test_a_store_that_is_down_is_named(through: Plan) -> None:
    place = Location.of("s3://bucket/file")
    place.write_bytes(b"there")
    through.share, through.faults = 1.0, ("500",)
    with pytest.raises(StorageError, match=f"s3://bucket/file: .*; {RESUME_HINT}"):
        place.read_bytes()
    with pytest.raises(StorageError, match="s3://bucket/file: "):
        place.write_bytes(b"other")
    with pytest.raises(StorageError, match="s3://bucket"):
        place.exists()
    through.share = 0.0
    assert place.read_bytes() == b"there"
