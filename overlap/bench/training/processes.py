"""The processes of the benchmarks of training: prepared one after the other, then in turn.

Each variant trains on the same clips with the same backend, in a separate process. All processes
are prepared first (built, compiled, one epoch trained). They then alternate, one epoch each, so
that a machine that slows down affects all variants equally.

A plain fit runs as in a user's script: nothing configures its memory or its convolutions.
Everything else has the environment of a member's process. Members that train at once are one
variant of several processes, each with its share of the processors; their clips count together.
"""

import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from itertools import chain
from pathlib import Path

from overlap.bench.training.variants import TrainingJob, Variant
from overlap.errors import BenchError
from overlap.system.allocator import without_memory_settings
from overlap.system.child_process import Child, start_child, worker_environment
from overlap.system.foreign_settings import ONEDNN
from overlap.system.resources.sharing import sharing_environment

CHILD = "overlap.bench.training.epochs"
Epoch = Mapping[str, float]
"""What a process reports of an epoch; see `overlap.bench.training.epochs`."""


@contextmanager
def prepared(variants: Sequence[Variant], job: TrainingJob) -> Iterator[Callable[[Variant], Epoch]]:
    """Start and prepare the processes of all variants; they end with the block.

    Yields:
        A function that trains one epoch of a variant and returns its report. The figures of
        members that train at once are added, except for the time, which is the longest.

    Raises:
        BenchError: A process failed.
    """
    with tempfile.TemporaryDirectory(prefix="overlap-bench-") as folder:
        place, started = Path(folder), dict[Variant, list[Child]]()
        try:
            for variant in variants:
                started[variant] = []
                for number in range(variant.members):
                    child = _started(variant, number, job, place)
                    started[variant].append(child)
                    # One after the other, because compiling uses all cores.
                    _read_message(variant, number, child, place)
            yield lambda variant: _run_epoch(variant, started[variant], place)
        finally:
            for child in chain.from_iterable(started.values()):
                child.close()


def _started(variant: Variant, number: int, job: TrainingJob, folder: Path) -> Child:
    environment = worker_environment(os.environ) | sharing_environment(variant.members)
    if not variant.member_environment:
        environment = without_memory_settings(environment)
        environment.pop(ONEDNN)
    # Output goes to a file: a pipe that is not read fills up and blocks the process.
    own = _place(variant, number, folder)
    with _log(own).open("w") as log:
        arguments = [json.dumps(asdict(variant)), json.dumps(asdict(job)), str(own)]
        return start_child(CHILD, arguments, environment, log)


def _place(variant: Variant, number: int, folder: Path) -> Path:
    return folder / f"{variant.name}-{number}"


def _log(own: Path) -> Path:
    return own.with_name(f"{own.name}.log")


def _run_epoch(variant: Variant, children: Sequence[Child], folder: Path) -> Epoch:
    for child in children:
        child.process.stdin.write("go\n")  # type: ignore[union-attr]  # it is a pipe
        child.process.stdin.flush()  # type: ignore[union-attr]
    done = [_read_message(variant, n, child, folder) for n, child in enumerate(children)]
    together = {key: sum(epoch[key] for epoch in done) for key in done[0]}
    return {
        **together,
        "seconds": max(epoch["seconds"] for epoch in done),
        "waited": together["waited"] / len(done),
    }


def _read_message(variant: Variant, number: int, child: Child, folder: Path) -> Epoch:
    message = child.read_report()
    if message is None:
        log = _log(_place(variant, number, folder)).read_text()[-2000:]
        raise BenchError(
            f"{variant.name}: the process failed; its log ends with\n{log}", variant=variant.name
        )
    return message
