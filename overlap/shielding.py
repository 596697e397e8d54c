"""Ctrl-C belongs to the process that a person started, not to those that it started itself.

A terminal sends SIGINT to all of them. Each would end in the middle of something, and say so with a
traceback; they are ended by the one that started them.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts_held() -> Iterator[None]:
    """Threads and processes that are started meanwhile never receive SIGINT.

    This thread does, afterwards. A thread hands this on to what it starts, for as long as it lives.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
