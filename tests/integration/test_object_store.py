"""Data and workspace on an object store: a whole run against a real S3 API on the loopback."""

import json
import os
import shutil
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from botocore.exceptions import ClientError

from overlap.catalog import list_clips, list_data
from overlap.errors import CorruptError
from overlap.features import FeatureStore
from overlap.io import atomic_update
from overlap.io.location import Location
from overlap.io.records import from_record
from overlap.io.workspace_paths import CHAMPION_FILE
from overlap.promotion import champion
from overlap.promotion.champion import Aliases, read_aliases
from support.errors import raises
from support.processes import object_store
from support.run_steps import publish_record, published

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment in which s3:// is a server of this test's."""
    with object_store() as found:
        before = dict(os.environ)
        os.environ.update(found)
        try:
            import s3fs

            s3fs.S3FileSystem().mkdir("bucket")
            yield found
        finally:
            os.environ.clear()
            os.environ.update(before)


@pytest.mark.nightly
def test_a_run_on_an_object_store(
    overlap, s3: dict[str, str], data: Path, tiny: Path, finished
) -> None:
    import s3fs

    s3fs.S3FileSystem().put(str(data), "bucket/data", recursive=True)
    options = (
        "run", "--data", "s3://bucket/data", "--workspace", "s3://bucket/w", "--config", tiny,
        "--members", 1,
    )  # fmt: skip
    done = overlap(*options, **s3)
    assert "s3://bucket/w/ensembles/" in done.stdout
    workspace = Location.of("s3://bucket/w")
    there = FeatureStore.open(workspace)
    local = FeatureStore.open(Location.of(finished.workspace))
    assert (there.read_rows(0, 120) == local.read_rows(0, 120)).all()
    (version,) = (workspace / "ensembles").folders()
    table = pd.read_csv(f"s3://bucket/w/ensembles/{version}/submission.csv")
    assert table["id"].tolist() == pd.read_csv(data / "submission.csv")["id"].tolist()

    again = overlap(*options, **s3)
    assert "it is already the champion" in again.stdout
    assert len(list_clips("s3://bucket/data/test").files) == 20
    checked = overlap("verify", "--workspace", "s3://bucket/w", **s3)
    assert "OK" in checked.stdout


def test_listing_is_compared_with_a_bare_client(overlap, s3: dict[str, str]) -> None:
    """1,100 files are two pages of the server."""
    import s3fs

    s3fs.S3FileSystem().pipe("bucket/own/kept.txt", b"kept")
    done = overlap(
        "bench", "listing", "--files", 1100, "--rounds", 1, "--address", "s3://bucket/own",
        "--json", **s3,
    )  # fmt: skip
    bare, ours = json.loads(done.stdout)["rows"]
    assert (bare["name"], bare["ratio"]) == ("list_objects_v2, all pages", 1)
    assert (ours["name"], 0.2 < ours["ratio"] < 2) == ("list_data", True)
    s3fs.S3FileSystem.clear_instance_cache()
    assert s3fs.S3FileSystem().find("bucket/own") == ["bucket/own/kept.txt"]


def test_many_files_and_an_archive_on_an_object_store(
    s3: dict[str, str], data: Path, tmp_path: Path
) -> None:
    import s3fs

    store = s3fs.S3FileSystem()
    names = sorted(file.name for file in (data / "test").iterdir())
    contents = [(data / "test" / name).read_bytes() for name in names]
    store.put(str(data / "test"), "bucket/many/test", recursive=True)
    store.pipe_file("bucket/many/test/empty[1]*", b"")
    asked = [*names, "nothing", "empty[1]*"]
    *found, missing, empty = (Location.of("s3://bucket/many") / "test").read_many(asked)
    assert found == contents
    assert isinstance(missing, FileNotFoundError)
    assert empty == b""

    archive = Path(shutil.make_archive(str(tmp_path / "data"), "zip", data))
    store.put(str(archive), "bucket/data.zip")
    address = "zip://::s3://bucket/data.zip"
    listing = list_data(address)
    assert sorted(listing.files["file"]) == sorted(list_data(data).files["file"])
    *found, missing = (Location.of(address) / "test").read_many([*names, "nothing"])
    assert found == contents
    assert isinstance(missing, FileNotFoundError)

    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("test/other.wav", contents[0])
    store.put(str(archive), "bucket/data.zip")
    assert (Location.of(address) / "test").read_many(["other.wav"]) == contents[:1]


# --- the champion ----------------------------------------------------------------------------


@pytest.fixture
def two(s3: dict[str, str], tmp_path: Path) -> Location:
    """A workspace with two ensembles."""
    workspace = Location.of(f"s3://bucket/{tmp_path.name}")
    for version in ("v1", "v2"):
        publish_record(workspace, published(version))
    return workspace


def test_who_reads_the_alias_sees_the_old_or_the_new_one(s3: dict[str, str], two: Location) -> None:
    """By another client than the writer's, while it changes forty times."""
    import boto3

    client, key = boto3.client("s3"), f"{two.name}/{CHAMPION_FILE}"
    champion.promote(two, "v1")
    over, seen = threading.Event(), []

    def read() -> None:
        while not over.is_set():
            answer = client.get_object(Bucket="bucket", Key=key)
            seen.append(from_record(answer["Body"].read(), Aliases, key))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for number in range(40):
            champion.promote(two, f"v{1 + (number + 1) % 2}")
    finally:
        over.set()
        reader.join()
    assert {aliases.version for aliases in seen} == {"v1", "v2"}
    assert all(aliases.history[-1].version == aliases.version for aliases in seen)
    counts = [len(aliases.history) for aliases in seen]
    assert counts == sorted(counts)
    assert len(set(counts)) > 10
    assert len(read_aliases(two).history) == 41


def test_of_two_writers_on_an_object_store_none_is_lost(
    two: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writes between the reading and the writing of the other, which then begins anew."""
    between = iter(["v2", None])

    def change(aliases: Aliases) -> tuple[Aliases, None]:
        other = next(between)
        if other:
            champion.promote(two, other)
        return aliases.with_champion("v1"), None

    atomic_update.update(two / CHAMPION_FILE, Aliases, change)  # the file is not there yet
    assert (champion.champion(two), read_aliases(two).earlier) == ("v1", ("v2",))
    between = iter(["v2", None])
    atomic_update.update(two / CHAMPION_FILE, Aliases, change)
    assert (champion.champion(two), read_aliases(two).earlier) == ("v1", ("v2", "v1", "v2"))

    # A store without conditional writes says so; then there is no guard.
    import s3fs

    store, asked = s3fs.S3FileSystem(), []
    whole = store.pipe_file

    def plain(path: str, value: bytes, **condition) -> None:
        asked.append([*condition])
        if condition:
            raise OSError from ClientError({"Error": {"Code": "NotImplemented"}}, "PutObject")
        whole(path, value)

    with monkeypatch.context() as patched:
        patched.setattr(store, "pipe_file", plain)
        champion.promote(two, "v2")
    assert asked == [["IfMatch"], []]
    assert champion.champion(two) == "v2"
    champion.promote(two, "v1")

    monkeypatch.setattr(atomic_update, "TRIES", 3)
    between = iter(["v2", "v1", "v2"])
    with raises(CorruptError, "contended", path=str(two / CHAMPION_FILE), attempts=3):
        atomic_update.update(two / CHAMPION_FILE, Aliases, change)
