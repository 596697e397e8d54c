"""Benchmark of training: speed, page faults and memory of plain Keras `fit` and of presets."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from overlap.bench.training.processes import Epoch, prepared
from overlap.bench.training.variants import TrainingJob, Variant
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.processors import usable_processors
from overlap.system.resources.sharing import trainings_on_processors

PLAIN = Variant(
    "plain fit, float32 arrays", "baseline", "plain fit, float32 arrays",
    plain=True, member_environment=False,
)  # fmt: skip
PLAIN_IN_MEMBER_ENVIRONMENT = replace(
    PLAIN, name="plain fit, environment of a member", member_environment=True
)
DEMO_PLAIN = replace(
    PLAIN, name="plain fit, demo network", preset="demo", reference="plain fit, demo network",
    own_network=True,
)  # fmt: skip
DEMO = Variant("demo, demo network", "demo", DEMO_PLAIN.name, own_network=True)


@dataclass(frozen=True)
class TrainingRow:
    """Result of one variant."""

    name: str
    reference: str
    """Name of the row that `ratio` is relative to: a plain fit of the same network."""
    clips_per_second: float
    """Of all members together; median over rounds."""
    ratio: float
    """Speed relative to the reference; median over rounds."""
    faults_per_step: float
    """Minor page faults of the process per training step; median over rounds."""
    host_wait_fraction: float
    """Fraction of the time spent waiting for the next batch: an upper bound of the device's idle
    time. Not measured for the plain fit: 0."""
    peak_bytes: int
    """Peak memory of the process plus that of the accelerator, if any."""


def bench_training(job: TrainingJob, presets: tuple[str, ...], rounds: int) -> list[TrainingRow]:
    """Measure plain fits, the presets and the network of the demo, interleaved.

    Args:
        job: Clips and network.
        presets: Names of the measured presets.
        rounds: Number of measured epochs per variant.

    Raises:
        BenchError: A variant failed.
    """
    variants = (
        PLAIN, PLAIN_IN_MEMBER_ENVIRONMENT,
        *(row for name in presets for row in _alone_and_at_once(Variant(name, name, PLAIN.name))),
        DEMO_PLAIN, *_alone_and_at_once(DEMO),
    )  # fmt: skip
    rounds_of: dict[str, list[Epoch]] = {variant.name: [] for variant in variants}
    with prepared(variants, job) as one_epoch:
        for _ in range(rounds):
            for variant in variants:
                rounds_of[variant.name].append(one_epoch(variant))
    return [
        _row(variant, rounds_of[variant.name], rounds_of[variant.reference]) for variant in variants
    ]


def _alone_and_at_once(variant: Variant) -> Iterator[Variant]:
    """Yield a variant, and the same with as many members as train at once on the processors."""
    yield variant
    members = 1 if visible_accelerators() else trainings_on_processors(usable_processors())
    if members > 1:
        yield replace(variant, name=f"{variant.name}, {members} members at once", members=members)


def _row(
    variant: Variant,
    rounds: Sequence[Epoch],
    reference: Sequence[Epoch],
) -> TrainingRow:
    speeds, others = (
        np.array([done["clips"] / done["seconds"] for done in epochs])
        for epochs in (rounds, reference)
    )
    return TrainingRow(
        name=variant.name,
        reference=variant.reference,
        clips_per_second=float(np.median(speeds)),
        ratio=float(np.median(speeds / others)),
        faults_per_step=float(np.median([done["faults"] / done["steps"] for done in rounds])),
        host_wait_fraction=float(np.median([done["waited"] / done["seconds"] for done in rounds])),
        peak_bytes=int(max(done["peak_bytes"] for done in rounds)),
    )
