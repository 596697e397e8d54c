"""Items made ahead of their use: order, depth, failures, closing; and passes of them."""

import threading
import time
from collections.abc import Iterator

import pytest

from overlap.system.prefetch import Prefetcher
from overlap.training.feed.passes import PassPrefetcher


def makers() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name.startswith("overlap-prefetch")]


def test_items_come_in_order_from_another_thread() -> None:
    def items() -> Iterator[str]:
        yield threading.current_thread().name
        yield "second"
        raise ValueError("no third")

    with Prefetcher(items()) as found:
        assert next(found).startswith("overlap-prefetch")
        assert next(found) == "second"
        with pytest.raises(ValueError, match="no third"):
            next(found)
    assert not makers()
    with Prefetcher([]) as nothing:
        assert list(nothing) == []


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_than_depth_items_are_made_ahead(depth: int) -> None:
    made: list[int] = []

    def items() -> Iterator[int]:
        for index in range(10):
            made.append(index)
            yield index

    with Prefetcher(items(), depth) as found:
        for index in range(3):
            assert next(found) == index
            until = time.monotonic() + 10
            while len(made) < index + 1 + depth and time.monotonic() < until:
                time.sleep(0.001)
            time.sleep(0.02)
            assert made == list(range(index + 1 + depth))


def test_quick_items_are_made_by_the_consumer() -> None:
    def items() -> Iterator[threading.Thread]:
        for index in range(4):
            if index == 1:
                time.sleep(0.2)
            yield threading.current_thread()

    here = threading.current_thread()
    with Prefetcher(items(), worthwhile_seconds=0.1) as found:
        threads = list(found)
    assert [thread is here for thread in threads] == [True, True, False, True]


def test_passes_follow_each_other() -> None:
    made: list[tuple[int, int]] = []

    def make(number: int) -> Iterator[tuple[int, int]]:
        for index in range(3):
            made.append((number, index))
            yield number, index

    ahead = PassPrefetcher(make, range(4, 7), depth=2)
    for number in range(4, 7):
        assert list(ahead.one_pass()) == [(number, index) for index in range(3)]
    ahead.close()
    assert len(made) == 9


def test_a_surplus_request_leaves_the_next_pass_alone() -> None:
    ahead = PassPrefetcher(lambda number: iter([number, number]), range(2))
    first = ahead.one_pass()
    assert [next(first), next(first)] == [0, 0]
    assert next(first, None) is None
    assert list(ahead.one_pass()) == [1, 1]
    assert list(first) == []
    ahead.close()


def test_a_failure_is_raised_where_its_item_is_requested() -> None:
    def make(_: int) -> Iterator[int]:
        yield 1
        yield 2
        raise OSError(5, "the disk is gone")

    ahead = PassPrefetcher(make, range(1))
    with pytest.raises(OSError, match="the disk is gone"):
        list(ahead.one_pass())
    ahead.close()


def test_closing_ends_a_waiting_consumer() -> None:
    stop = threading.Event()

    def never(_: int) -> Iterator[int]:
        yield 1
        stop.wait(30)
        yield 2
        yield 3

    ahead = PassPrefetcher(never, range(1))
    ended: list[RuntimeError] = []

    def consume() -> None:
        try:
            list(ahead.one_pass())
        except RuntimeError as error:
            ended.append(error)

    consumer = threading.Thread(target=consume)
    consumer.start()
    time.sleep(0.1)
    threading.Timer(0.2, stop.set).start()
    ahead.close()
    consumer.join(timeout=10)
    assert not consumer.is_alive()
    assert len(ended) == 1


def test_waiting_is_counted_and_the_thread_ends() -> None:
    def slow(_: int) -> Iterator[int]:
        for index in range(3):
            time.sleep(0.05)
            yield index

    ahead = PassPrefetcher(slow, range(100))
    list(ahead.one_pass())
    assert ahead.waited > 0.1
    ahead.close()
    assert not makers()
