"""Updates of progress artifacts: never in the way of the work, and complete in the end."""

import threading
import time
from uuid import uuid4

import pytest

from tasks.progress import artifact as module
from tasks.progress.artifact import ArtifactUpdates, ProgressArtifact, State


class Slow(ProgressArtifact):
    """An artifact of a server that answers only when the test lets it."""

    def __init__(self, every: float = 0.0, fault: Exception | None = None) -> None:
        super().__init__(uuid4(), every)
        self.answers, self.arrived, self.states = threading.Event(), threading.Event(), []
        self.fault = fault

    def send(self, state: State) -> None:
        self.sent, self.sent_at = state, time.monotonic()
        self.arrived.set()
        assert self.answers.wait(60)
        if self.fault:
            raise self.fault
        self.states.append(state)


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "TICK_SECONDS", 0.01)


def test_work_does_not_wait_for_the_server_and_its_last_state_arrives() -> None:
    slow = Slow()
    updates = ArtifactUpdates([slow])
    updates.show(1, 10, "one")
    assert slow.arrived.wait(60)
    for done in range(2, 10):
        updates.show(done, 10, str(done))
    updates.show(10, 10, "ten")
    assert slow.states == []  # the server has still not answered
    slow.answers.set()
    updates.close()
    assert slow.states == [(10.0, "one"), (100.0, "ten")]


def test_a_fault_of_the_server_fails_nothing() -> None:
    slow, other = Slow(fault=ConnectionError("refused")), Slow()
    slow.answers.set()
    other.answers.set()
    updates = ArtifactUpdates([slow, other])
    updates.show(0, 0, "nothing to do")
    updates.close()
    assert (slow.states, other.states) == ([], [(100.0, "nothing to do")])


def test_updates_are_as_rare_as_asked_for_except_the_last() -> None:
    often, rarely = Slow(), Slow(every=3600.0)
    often.answers.set()
    rarely.answers.set()
    rarely.sent_at = time.monotonic()
    updates = ArtifactUpdates([often, rarely])
    updates.show(1, 2, "half")
    assert often.arrived.wait(60)
    assert rarely.states == []
    updates.show(2, 2, "whole")
    updates.close()
    assert often.states[-1] == (100.0, "whole")
    assert rarely.states == [(100.0, "whole")]


def test_nothing_is_started_without_artifacts() -> None:
    before = threading.active_count()
    updates = ArtifactUpdates([])
    assert threading.active_count() == before
    updates.show(1, 2, "half")
    updates.close()
