"""A bounded window of submitted jobs, with real futures."""

from collections.abc import Iterator
from concurrent.futures import Future

from overlap.system.submission_window import SubmissionWindow


class Jobs:
    """Futures that end when the test says so."""

    def __init__(self) -> None:
        self.futures: dict[int, list[Future[int]]] = {}
        self.taken: list[int] = []
        self.window = SubmissionWindow[int, "Future[int]"](self.submit)

    def submit(self, job: int) -> "Future[int]":
        self.futures.setdefault(job, []).append(Future())
        return self.futures[job][-1]

    def numbers(self, count: int) -> Iterator[int]:
        for number in range(count):
            self.taken.append(number)
            yield number


def test_jobs_are_taken_only_as_there_is_room() -> None:
    jobs = Jobs()
    waiting = jobs.numbers(6)
    jobs.window.fill(waiting, 2)
    jobs.window.fill(waiting, 2)
    assert jobs.taken == [0, 1]
    jobs.futures[1][0].set_result(10)
    ended = jobs.window.next()
    assert ended is not None
    assert (ended[0].result(), ended[1]) == (10, 1)
    jobs.window.fill(waiting, 4)  # more workers have come
    assert jobs.taken == [0, 1, 2, 3, 4]
    assert sorted(jobs.window.running.values()) == [0, 2, 3, 4]
    jobs.window.fill(waiting, 1)  # and have gone: nothing is submitted, nothing is removed
    assert sorted(jobs.window.running.values()) == [0, 2, 3, 4]
    jobs.window.fill(waiting, 100)
    assert jobs.taken == list(range(6))


def test_futures_come_in_the_order_in_which_they_end() -> None:
    jobs = Jobs()
    jobs.window.fill(jobs.numbers(3), 3)
    for number in (2, 0, 1):
        jobs.futures[number][0].set_result(number)
    ended = [jobs.window.next() for _ in range(3)]
    assert [job for _, job in filter(None, ended)] == [2, 0, 1]
    assert jobs.window.next(timeout=0.001) is None
    assert not jobs.window.running


def test_the_end_of_a_removed_job_is_ignored() -> None:
    jobs = Jobs()
    jobs.window.add(7)
    (first,) = jobs.window.running
    assert jobs.window.remove(first) == 7
    jobs.window.add(7)
    first.set_result(1)
    assert jobs.window.next() is None
    jobs.futures[7][1].set_result(2)
    ended = jobs.window.next()
    assert ended is not None
    assert ended[0].result() == 2
