"""Rate and remaining time of work of a known amount, from its first event on."""

import time


class Pace:
    """The pace of work.

    The clock starts with `start`, or with the first event: the work before it may have waited for
    a worker, imported packages, compiled, or been done by an earlier run. The amount of that first
    event is therefore not counted, and rate and remaining time are unknown until the second.

    Args:
        total: The amount of the work.

    Attributes:
        done: The part that is done.
    """

    def __init__(self, total: int) -> None:
        self.total, self.done = total, 0
        self._start: tuple[float, int] | None = None
        self._last: tuple[float, int] | None = None

    def start(self) -> None:
        """Start the clock, unless it runs."""
        if self._start is None:
            self._start = self._last = time.monotonic(), self.done

    def restart(self) -> None:
        """Stop the clock: nothing is done, and the next event starts it."""
        self.done, self._start, self._last = 0, None, None

    def add(self, amount: int) -> None:
        """Count a part that is done."""
        self.done += amount
        self.start()
        self._last = time.monotonic(), self.done

    @property
    def seconds(self) -> float | None:
        """Seconds since the clock started; None if it has not."""
        return None if self._start is None else time.monotonic() - self._start[0]

    @property
    def rate(self) -> float | None:
        """Amount per second between the start and the last event; None if it is unknown."""
        if self._start is None or self._last is None:
            return None
        seconds, amount = (
            last - first for last, first in zip(self._last, self._start, strict=True)
        )
        return amount / seconds if amount > 0 and seconds > 0 else None

    @property
    def left(self) -> float | None:
        """Remaining seconds at this rate; None if it is unknown or everything is done."""
        rate = self.rate
        if rate is None or self._last is None or not 0 < self.done < self.total:
            return None
        since = time.monotonic() - self._last[0]
        return max(0.0, (self.total - self.done) / rate - since)
