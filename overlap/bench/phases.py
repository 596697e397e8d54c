"""Time and memory of consecutive phases of one process."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from overlap.system.resources.memory import forget_peak_memory, peak_memory_mb


@dataclass(frozen=True)
class Phase:
    """Time and memory of one phase of the driver."""

    name: str
    seconds: float
    peak_mb: float
    """Largest resident memory of the process during the phase, MB; where the kernel cannot forget
    earlier peaks, up to the end of the phase."""


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
        started = time.perf_counter()
        yield
        seconds = time.perf_counter() - started
        self.done.append(Phase(name=name, seconds=seconds, peak_mb=peak_memory_mb()))
