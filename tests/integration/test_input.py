"""The input path as a whole: archives give what folders give, and stores are read concurrently."""

import shutil
import threading
import zipfile
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from overlap.config import RunConfig
from overlap.io.location import Location
from support.run_steps import computed

TOGETHER = 4
"""Requests that the slow server wants to have at once before it answers any."""


@pytest.mark.extended
def test_an_archive_gives_what_its_folder_gives(
    config: RunConfig, data: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "data"), "zip", data)
    other = config.model_copy(update={"data": archive, "workspace": str(tmp_path / "from zip")})
    catalog, store = computed(config)
    catalog_of_zip, store_of_zip = computed(other)
    told = [name for name in catalog.clips.columns if name != "version"]
    assert catalog_of_zip.clips[told].equals(catalog.clips[told])
    assert np.array_equal(catalog_of_zip.labels, catalog.labels, equal_nan=True)
    rows = len(catalog)
    features, of_zip = store.read_rows(0, rows), store_of_zip.read_rows(0, rows)
    assert np.array_equal(of_zip.view(np.uint16), features.view(np.uint16))

    again, _ = computed(other, catalog_of_zip)
    assert again.clips.equals(catalog_of_zip.clips)


class SlowStore(ThreadingHTTPServer):
    """Answers GET with what a file holds, when `TOGETHER` requests have come; else with 503."""

    daemon_threads = True

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Request)
        self.files = files
        self.together = threading.Barrier(TOGETHER, timeout=30)


class Request(BaseHTTPRequestHandler):
    """One request to the slow store."""

    server: SlowStore

    def do_GET(self) -> None:
        content = self.server.files.get(self.path)
        try:
            self.server.together.wait()
        except threading.BrokenBarrierError:
            self.send_error(503)
            return
        if content is None:
            self.send_error(404)
            return
        first, end = 0, len(content)
        if wanted := self.headers.get("Range"):
            low, _, high = wanted.removeprefix("bytes=").partition("-")
            first, end = int(low), int(high) + 1 if high else end
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(end - first))
        self.send_header("ETag", '"x"')
        self.end_headers()
        self.wfile.write(content[first:end])

    def do_HEAD(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.files[self.path])))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("ETag", '"x"')
        self.end_headers()

    def log_message(self, *_arguments: object) -> None:
        pass


@pytest.fixture
def slow() -> Iterator[SlowStore]:
    server = SlowStore({f"/bucket/clips/{i}.wav": bytes([i]) * 100 for i in range(3 * TOGETHER)})
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def s3(slow: SlowStore, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The slow store as s3://bucket."""
    s3fs = pytest.importorskip("s3fs")
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{slow.server_port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()  # it would remember another test's address
    yield
    s3fs.S3FileSystem.clear_instance_cache()


def test_an_object_store_is_asked_for_many_files_at_once(slow: SlowStore, s3: None) -> None:
    names = [f"{i}.wav" for i in range(3 * TOGETHER)]
    found = Location.of("s3://bucket/clips").read_many(names)
    assert found == [slow.files[f"/bucket/clips/{name}"] for name in names]


def test_an_archive_on_a_store_is_asked_for_many_members_at_once(
    slow: SlowStore, tmp_path: Path
) -> None:
    names = [f"{i}.wav" for i in range(3 * TOGETHER)]
    with zipfile.ZipFile(tmp_path / "data.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(f"clips/{name}", name.encode() * 50)
    slow.files["/data.zip"] = (tmp_path / "data.zip").read_bytes()
    slow.together = threading.Barrier(1)  # the archive's directory is asked for alone
    address = f"zip://clips::http://127.0.0.1:{slow.server_port}/data.zip"
    place = Location.of(address)
    assert len([*place.files()]) == len(names)
    slow.together = threading.Barrier(TOGETHER, timeout=30)
    assert place.read_many(names) == [name.encode() * 50 for name in names]
