"""A local cluster of which a process is killed while it starts."""

import multiprocessing
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import psutil
import pytest

from flows.clusters import opening
from flows.clusters.preflight import Work
from overlap.config import ClusterConfig
from overlap.errors import ClusterLostError
from support.errors import raises


@contextmanager
def killed_as_they_start(most: int) -> Iterator[list[int]]:
    """Kill the first processes of workers that this process starts, as soon as they are there."""
    known = {child.pid for child in psutil.Process().children(recursive=True)}
    killed: list[int] = []
    over = threading.Event()

    def hunt() -> None:
        while len(killed) < most and not over.wait(0.005):
            for child in psutil.Process().children(recursive=True):
                with suppress(psutil.Error):
                    if child.pid not in known and "spawn_main" in " ".join(child.cmdline()):
                        known.add(child.pid)
                        child.kill()
                        killed.append(child.pid)
                        break

    hunter = threading.Thread(target=hunt, daemon=True)
    hunter.start()
    try:
        yield killed
    finally:
        over.set()
        hunter.join(10)


@pytest.fixture
def printed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The notes for the user."""
    notes: list[str] = []
    monkeypatch.setattr(opening, "note", notes.append)
    return notes


def start() -> None:
    with opening._scheduler(ClusterConfig(cpu_workers=1), Work(training=False)) as (address, _):
        assert address.startswith("tcp://127.0.0.1:")


def test_it_is_started_again(printed: list[str]) -> None:
    with killed_as_they_start(1) as killed:
        start()
    assert len(killed) == 1
    assert len(printed) == 1
    assert "did not start" in printed[0]
    assert multiprocessing.active_children() == []


def test_it_is_not_started_for_ever(printed: list[str]) -> None:
    with (
        killed_as_they_start(10),
        raises(ClusterLostError, "local-cluster-failed", attempts=opening.STARTS),
    ):
        start()
    assert len(printed) == 1
    assert multiprocessing.active_children() == []
