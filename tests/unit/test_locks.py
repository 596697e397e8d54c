"""The run lock between threads of a process; processes: tests/faults/test_two_at_once.py."""

import contextvars
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from overlap.errors import WorkspaceLockedError
from overlap.io import locks
from overlap.io.location import Location
from overlap.io.locks import holds_run_lock, run_lock
from overlap.workspace.workspace import Workspace
from support.errors import raises
from support.trials import trial


@pytest.fixture(params=["local", "memory"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Location:
    if request.param == "local":
        return Location.of(tmp_path / "w")
    return Location.of(f"memory://{tmp_path.name}")


@contextmanager
def another_run(place: Location) -> Iterator[Callable[[], None]]:
    """Hold the run lock in another thread; yields what makes it leave."""
    inside, leave = threading.Event(), threading.Event()

    def work() -> None:
        with Workspace.of(place).lock():
            inside.set()
            leave.wait(30)

    thread = threading.Thread(target=work)
    thread.start()
    try:
        assert inside.wait(30)
        yield leave.set
    finally:
        leave.set()
        thread.join()


@trial(
    "R",
    "A notebook runs two flows on one workspace in two threads",
    "own",
    "Both enter the run lock, which belonged to the process.",
    "The second ends with `workspace-locked`, or waits; also on an object store.",
)
def test_two_threads_exclude_each_other(place: Location) -> None:
    with another_run(place):
        with raises(WorkspaceLockedError, "workspace-locked"), Workspace.of(place).lock():
            pass
        assert not holds_run_lock(place)
    with Workspace.of(place).lock():
        assert holds_run_lock(place)
    assert not holds_run_lock(place)


def test_one_object_in_two_threads_is_two_runs(place: Location) -> None:
    shared = Workspace.of(place)
    with ThreadPoolExecutor(1) as pool, shared.lock():
        assert pool.submit(holds_run_lock, place).result() is False

        def enter() -> None:
            with shared.lock():
                pass

        with raises(WorkspaceLockedError, "workspace-locked"):
            pool.submit(enter).result()
        with shared.lock() as changed:
            assert changed is False


def test_the_second_thread_waits(place: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(locks, "RETRY_SECONDS", 0.01)
    messages: list[str] = []
    with another_run(place) as leave:

        def waits(message: str) -> None:
            messages.append(message)
            leave()

        with Workspace.of(place).lock(wait=True, on_wait=waits) as changed:
            assert changed
    assert len(messages) == 1


def test_many_threads_are_never_two_at_once(
    place: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(locks, "RETRY_SECONDS", 0.001)
    inside, most = [0], [0]

    def work(_: int) -> None:
        with run_lock(place, wait=True):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1

    with ThreadPoolExecutor(8) as pool:
        assert len([*pool.map(work, range(40))]) == 40
    assert (most, inside) == ([1], [0])


def test_the_threads_of_a_run_belong_to_it(place: Location) -> None:
    """Prefect hands the context of a flow on to the threads of its tasks."""
    with ThreadPoolExecutor(1) as pool:
        with Workspace.of(place).lock():
            context = contextvars.copy_context()
            assert pool.submit(context.run, holds_run_lock, place).result() is True
        # A thread that outlives its run does not keep the lock.
        assert pool.submit(context.run, holds_run_lock, place).result() is False
        with another_run(place):
            assert pool.submit(context.run, holds_run_lock, place).result() is False


def test_an_error_releases_the_lock_for_other_threads(place: Location) -> None:
    with pytest.raises(OSError, match="disk full"), run_lock(place):
        raise OSError("disk full")
    with another_run(place):
        assert not holds_run_lock(place)
