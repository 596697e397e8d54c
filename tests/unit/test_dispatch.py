"""Jobs submitted as there is room, with futures that end when the test says so."""

from collections.abc import Callable

import pytest

from tasks import dispatch
from tasks.dispatch import in_window
from tasks.workers import training_slots


class Hand:
    """A future; it ends when it is told to, or at once."""

    def __init__(self, *, over: bool = False) -> None:
        self.over, self.callbacks = over, []

    def add_done_callback(self, callback: Callable[["Hand"], None]) -> None:
        self.callbacks.append(callback)
        if self.over:
            callback(self)

    def end(self) -> None:
        for callback in self.callbacks:
            callback(self)


def test_a_job_is_submitted_as_another_ends_while_it_is_wanted() -> None:
    futures: dict[int, Hand] = {}
    asked: list[tuple[int, list[int]]] = []

    def submit(job: int) -> Hand:
        futures[job] = Hand(over=job == 2)
        return futures[job]

    def wanted(job: int) -> bool:
        asked.append((job, list(futures)))
        return job != 4

    ended = in_window(submit, [1, 2, 3, 4, 5], lambda: 2, wanted)
    assert next(ended) == (2, futures[2])
    assert list(futures) == [1, 2]
    futures[1].end()
    assert next(ended) == (1, futures[1])
    assert list(futures) == [1, 2, 3]
    futures[3].end()
    assert next(ended)[0] == 3  # 4 was left out, so 5 runs
    assert list(futures) == [1, 2, 3, 5]
    futures[5].end()
    assert [job for job, _ in ended] == [5]
    assert asked == [(1, []), (2, [1]), (3, [1, 2]), (4, [1, 2, 3]), (5, [1, 2, 3])]


def test_all_at_once_where_there_is_room() -> None:
    futures: list[Hand] = []

    def submit(_job: int) -> Hand:
        futures.append(Hand(over=True))
        return futures[-1]

    ended = in_window(submit, range(5), lambda: 5, lambda _job: True)
    next(ended)
    assert len(futures) == 5
    assert len(list(ended)) == 4


def test_a_worker_that_comes_gets_a_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first job runs on; the room grows meanwhile."""
    monkeypatch.setattr(dispatch, "SLOT_CHECK_SECONDS", 0.01)
    room = iter([1, 1, 1, *[2] * 9])
    ended = in_window(
        lambda job: Hand(over=job == 1), [0, 1], lambda: next(room), lambda _job: True
    )
    assert next(ended)[0] == 1


def test_nothing_wanted_is_nothing_done() -> None:
    assert list(in_window(Hand, [1, 2], lambda: 1, lambda _job: False)) == []


def test_slots_are_what_training_workers_offer() -> None:
    class Client:
        def scheduler_info(self, **_which) -> dict:
            return {
                "workers": {
                    "cpu": {"nthreads": 8, "resources": {}},
                    "one": {"nthreads": 1, "resources": {"GPU": 1}},
                    "two": {"nthreads": 4, "resources": {"GPU": 2}},
                    "less": {"nthreads": 1, "resources": {"GPU": 2}},
                }
            }

    assert training_slots(Client()) == 4
