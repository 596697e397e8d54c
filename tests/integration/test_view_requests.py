"""Predictions of a real `overlap view`: hostile files, slow clients, and a new champion."""

import http.client
import shutil
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import pytest

from overlap.ensemble.registry import list_ensembles
from overlap.promotion.champion import champion, promote
from support.earlier_workspace import Earlier
from support.hostile_audio import CONTENTS, HEADERS
from support.hostile_cases import REPAIRED, USED
from support.run_steps import Finished
from support.view_client import add_graphs
from support.view_server import PREDICT, ask, connected, serving

pytestmark = pytest.mark.extended

CLIENTS = 8


@pytest.fixture
def clip(earlier: Earlier) -> bytes:
    """A clip of the workspace, whose members have graphs."""
    add_graphs(earlier.location)
    return min((earlier.data / "test").iterdir()).read_bytes()


def test_hostile_files_get_a_reason_and_hold_up_nobody(
    earlier: Earlier, clip: bytes, tmp_path: Path
) -> None:
    cases, contents = [*HEADERS, *CONTENTS], []
    for case in cases:
        case.write(tmp_path / case.file_name)
        contents.append((tmp_path / case.file_name).read_bytes())
    with serving(earlier.workspace) as (process, url):

        def send(content: bytes) -> tuple[int, dict]:
            with connected(url) as connection:
                return ask(connection, content)

        with ThreadPoolExecutor(CLIENTS) as threads:
            answers = [*threads.map(send, contents)]
            good = [*threads.map(send, [clip] * CLIENTS)]
        assert process.poll() is None
    for case, (status, content) in zip(cases, answers, strict=True):
        if status == 200:  # the fault may be in a part that is trimmed
            (found,) = content["clips"]
            assert case.outcome in (USED, REPAIRED) or "trimmed" in found["repairs"], case
        else:
            assert status in {400, 413, 422}, case
            assert content["error"]["code"] in {case.code, "no-clips", "body-too-large"}, case
            assert content["error"]["message"], case
    assert [status for status, _ in good] == [200] * CLIENTS


def test_slow_clients_delay_nobody(earlier: Earlier, clip: bytes) -> None:
    """They send half of a clip, and the rest only when all others have their answers."""
    half = len(clip) // 2
    head = f"POST {PREDICT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(clip)}\r\n\r\n"
    with serving(earlier.workspace) as (_, url):
        address = urlsplit(url)
        slow = [socket.create_connection((address.hostname, address.port)) for _ in range(32)]
        for one in slow:
            one.sendall(head.encode() + clip[:half])
        with connected(url) as connection:
            assert {ask(connection, clip)[0] for _ in range(20)} == {200}
        for one in slow:
            one.sendall(clip[half:])
            answer = http.client.HTTPResponse(one)
            answer.begin()
            assert answer.status in {200, 408}  # 408: the others took more than the limit of 30 s
            one.close()


@contextmanager
def clients_asking(
    url: str, clip: bytes, done: Callable[[str], bool]
) -> Iterator[list["Future[set[str]]"]]:
    """Clients that ask until `done` accepts the version that answers; each returns all versions."""
    over = Event()

    def client() -> set[str]:
        versions: set[str] = set()
        with connected(url) as connection:
            while not over.wait(0.1):
                status, content = ask(connection, clip)
                assert status == 200, content
                versions.add(content["version"])
                if done(content["version"]):
                    return versions
        raise AssertionError("the version did not come")

    with ThreadPoolExecutor(CLIENTS) as threads:
        try:
            yield [threads.submit(client) for _ in range(CLIENTS)]
        finally:
            over.set()


def test_no_request_fails_while_another_version_is_promoted(earlier: Earlier, clip: bytes) -> None:
    before = champion(earlier.location)
    versions = [record.version for record in list_ensembles(earlier.location)]
    other = next(version for version in versions if version != before)
    with serving(earlier.workspace) as (_, url):
        with connected(url) as connection:
            assert ask(connection, clip)[1]["version"] == before
        with clients_asking(url, clip, lambda version: version == other) as clients:
            promote(earlier.location, other)
            assert [client.result(120) for client in clients] == [{before, other}] * CLIENTS


@pytest.mark.nightly
def test_no_request_fails_while_a_run_trains_and_promotes(
    overlap, finished: Finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    workspace = shutil.copytree(finished.workspace, tmp_path / "workspace")
    clip = min((data / "test").iterdir()).read_bytes()
    with serving(workspace) as (_, url):
        with connected(url) as connection:
            before = ask(connection, clip)[1]["version"]
        with clients_asking(url, clip, lambda version: version != before) as clients:
            overlap("run", "--data", data, "--workspace", workspace, "--config", tiny,
                    "--members", 1, "--set", "training.seed=7", "--set", "promotion.rule=always",
                    "--set", "promotion.better_than_trivial=ignored")  # fmt: skip
            found = [client.result(120) for client in clients]
    after = {version for versions in found for version in versions} - {before}
    assert len(after) == 1
    assert found == [{before, *after}] * CLIENTS
