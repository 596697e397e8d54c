"""Data and workspace on an object store: a whole run against a real S3 API on the loopback."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
from processes import free_port, stop, wait_for

from overlap.catalog import list_clips
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
