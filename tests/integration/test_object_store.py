"""Data and workspace on an object store: a whole run against a real S3 API on the loopback."""

import os
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from processes import free_port, stop, wait_for

from overlap.catalog import list_clips, list_data
from overlap.features import FeatureStore
from overlap.storage import Location

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Environment in which s3:// is a server of this test's."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    found = {
        "AWS_ENDPOINT_URL": url,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    before = dict(os.environ)
    os.environ.update(found)
    try:
        wait_for(url, server)
        import s3fs

        s3fs.S3FileSystem().mkdir("bucket")
        yield found
    finally:
        os.environ.clear()
        os.environ.update(before)
        stop(server)


@pytest.mark.long
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
    assert "it is the champion already" in again.stdout
    assert len(list_clips("s3://bucket/data/test").files) == 20
    checked = overlap("verify", "--workspace", "s3://bucket/w", **s3)
    assert "all is as it was written" in checked.stdout


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
