"""Processes that mix the clips of a data set.

They import this module, and neither pandas nor Zarr, which would take longer than 2,000 clips.
"""

import os
import threading
from collections.abc import Generator, Sequence
from concurrent.futures import Future
from functools import partial
from multiprocessing import parent_process
from typing import Final

from overlap.synthetic.mixtures import MixJob, MixPlan, Mixture, write_clips
from overlap.system.process_pool import process_pool
from overlap.system.resources.processors import usable_processors
from overlap.system.signals import block_sigint
from overlap.system.submission_window import SubmissionWindow

JOB_CLIPS: Final = 500
"""Clips written by one call."""
OWN_JOBS: Final = 3
"""Jobs that this process does itself; other processes would start later than it ends."""

_plan: MixPlan
"""What this process mixes; only a process of the pool has it."""


def do_jobs(plan: MixPlan, jobs: Sequence[MixJob]) -> Generator[Mixture]:
    """Mix and write the clips of all jobs, in processes if there are many.

    Closing it ends all processes.

    Yields:
        The result of each job, in the order of the jobs.
    """
    workers = min(len(jobs), usable_processors())
    if workers < 2 or len(jobs) <= OWN_JOBS:
        for job in jobs:
            yield write_clips(plan, job)
        return
    with process_pool(workers, partial(_start_process, plan)) as pool:
        # The pool has few jobs at a time, so that none has to be cancelled if this ends early.
        window = SubmissionWindow[tuple[int, MixJob], Future[Mixture]](
            lambda numbered: pool.submit(_write_in_process, numbered[1])
        )
        waiting, written = enumerate(jobs), dict[int, Mixture]()
        with block_sigint():
            window.fill(waiting, 2 * workers)
        for number in range(len(jobs)):
            while number not in written:
                if (ended := window.next()) is not None:
                    future, (index, _) = ended
                    written[index] = future.result()
                    window.fill(waiting, 2 * workers)
            yield written.pop(number)


def _start_process(plan: MixPlan) -> None:
    """Prepare a process of the pool; it exits when its parent ends for any reason."""
    global _plan  # noqa: PLW0603  a process of the pool mixes one data set
    _plan = plan
    threading.Thread(target=_wait_for_parent, daemon=True).start()


def _write_in_process(job: MixJob) -> Mixture:
    return write_clips(_plan, job)


def _wait_for_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
