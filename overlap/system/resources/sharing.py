"""How trainings at the same time share the processors and the memory of a machine.

A training uses its second core badly: two trainings with one thread each process 1.1 to 1.4 times
(the full network) or 1.9 times (the demo's) as many clips per second as one with two threads
(docs/benchmarks.md).
"""

import math
import os
from typing import Final

from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.memory import memory_limit
from overlap.system.resources.processors import (
    processor_share,
    thread_environment,
    usable_processors,
)

TRAININGS: Final = "OVERLAP_TRAININGS"
"""Environment variable with the number of trainings that share this machine with the process."""
TRAINING_BYTES: Final = 3 * 10**9
"""Memory of a training on processors without its features, bytes: with the full network and batches
of 64, 1.9 GB; with the layers of Keras, 2.7 GB."""


def trainings_on_processors(members: int) -> int:
    """Return how many members train at a time on the processors of this machine, at least 1.

    Of more members than processors, so many share the processors that none of them is idle while
    the last members train: three on two processors train at once, not two and then one. The answer
    depends on nothing that changes while the machine runs: with other numbers of threads, the same
    member has weights that differ by rounding.

    Args:
        members: Members that can train at the same time.
    """
    rounds = max(1, members // usable_processors())
    return max(1, min(math.ceil(members / rounds), memory_limit() // TRAINING_BYTES))


def local_trainings(
    members: int, accelerators: int, workers: int | None, per_worker: int
) -> tuple[int, int]:
    """Return the training workers of a local cluster, and the members that each trains at a time.

    Args:
        members: Members that can train at the same time.
        accelerators: Accelerators of this machine.
        workers: Training workers, if a setting fixes them.
        per_worker: Members per worker, as set for accelerators.
    """
    if accelerators or workers is not None:
        return workers or accelerators, per_worker
    return 1, max(per_worker, trainings_on_processors(members))


def sharing_environment(trainings: int) -> dict[str, str]:
    """Return the environment of a process that shares this machine with trainings like it.

    On processors, each has its share of the threads.

    Args:
        trainings: Trainings on this machine at a time.
    """
    if trainings == 1:
        return {}
    threads = {} if visible_accelerators() else thread_environment(trainings)
    return {TRAININGS: str(trainings), **threads}


def trainings_here() -> int:
    """Return the number of trainings that share this machine with this process, itself included."""
    return int(os.environ.get(TRAININGS, "1"))


def share_of_processors() -> int:
    """Return the number of processors for this process, at least 1."""
    return processor_share(trainings_here())
