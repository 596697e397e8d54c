"""Time and memory of consecutive phases of one process."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from overlap.system.resources.memory import (
    forget_peak_memory,
    peak_memory_mb,
    unreclaimable_memory_mb,
)

SAMPLE_SECONDS = 0.02
"""Time between two measurements of the memory that belongs to no file."""


@dataclass(frozen=True)
class Phase:
    """Time and memory of one phase of the driver."""

    name: str
    seconds: float
    peak_mb: float
    """Largest resident memory of the process during the phase, MB; where the kernel cannot forget
    earlier peaks, up to the end of the phase."""
    unreclaimable_mb: float
    """The largest part of it that belongs to no file, MB: what a memory limit must allow. Sampled
    every `SAMPLE_SECONDS`."""


class PhaseRecorder:
    """Records time and memory of consecutive phases.

    Attributes:
        done: The finished phases.
    """

    def __init__(self) -> None:
        self.done: list[Phase] = []

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Measure the block as a phase."""
        forget_peak_memory()
        largest, ended = unreclaimable_memory_mb(), threading.Event()

        def sample() -> None:
            nonlocal largest
            while not ended.wait(SAMPLE_SECONDS):
                largest = max(largest, unreclaimable_memory_mb())

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        started = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - started
            ended.set()
            sampler.join()
        largest = max(largest, unreclaimable_memory_mb())
        self.done.append(Phase(name, seconds, peak_memory_mb(), largest))
