"""Benchmark of the feed: training from the disk, compared with training from memory.

Both train the same clips with the same network. Before each epoch from the disk, the store is
removed from the page cache, so that every byte of it comes from the disk.
"""

from dataclasses import dataclass, replace

import numpy as np

from overlap.bench.training.processes import Epoch, prepared
from overlap.bench.training.variants import TrainingJob, Variant
from overlap.config import RunConfig
from overlap.errors import UserError


@dataclass(frozen=True)
class FeedRow:
    """Result of one feed; all figures are medians over rounds."""

    feed: str
    """Where the features are: memory or stream."""
    clips_per_second: float
    ratio: float
    """Speed relative to the features in memory, paired by rounds."""
    cpu_ms_per_clip: float
    """Processor time of the process per clip, ms."""
    cpu_ratio: float
    """That of the features in memory relative to this, paired by rounds: the ratio of the speeds
    if nothing but the processors limits them."""
    waiting: float
    """Fraction of the time in which the training waited for the next batch."""
    read_bytes: int
    """Bytes that the disk delivered in an epoch."""
    peak_bytes: int
    """Largest memory of the process."""


@dataclass(frozen=True)
class StreamingReport:
    """Both feeds on one store."""

    features_bytes: int
    """Features of all clips without compression."""
    allowed_bytes: int
    """Features that streaming may hold: two windows."""
    rows: tuple[FeedRow, ...]


def bench_streaming(
    preset: str, clips: int, words: int, shuffle_clips: int, rounds: int
) -> StreamingReport:
    """Measure both feeds, one epoch each in turn.

    Args:
        preset: The training and its network.
        clips: Clips per epoch.
        words: Number of words.
        shuffle_clips: Size of a shuffling window; streaming holds two.
        rounds: Number of measured epochs of each.

    Raises:
        UserError: Two windows hold all clips (code `nothing-streamed`).
        BenchError: A process failed.
    """
    if 2 * shuffle_clips >= clips:
        raise UserError(
            f"--shuffle-clips {shuffle_clips}: two windows hold all {clips} clips, so nothing "
            f"would be streamed; choose at most {(clips - 1) // 2}, or raise --clips",
            code="nothing-streamed", clips=clips, shuffle_clips=shuffle_clips,
        )  # fmt: skip
    memory = Variant("memory", preset, "memory", own_network=True, mode="memory")
    stream = replace(memory, name="stream", mode="stream", cold=True)
    job = TrainingJob(clips, words, 1.0, "memory", shuffle_clips)
    with prepared((memory, stream), job) as one_epoch:
        pairs = [(one_epoch(memory), one_epoch(stream)) for _ in range(rounds)]
    held, streamed = zip(*pairs, strict=True)
    clip_bytes = RunConfig(data="-", preset=preset).features.clip_bytes
    return StreamingReport(
        features_bytes=clips * clip_bytes,
        allowed_bytes=2 * shuffle_clips * clip_bytes,
        rows=(_row("memory", held, held), _row("stream", streamed, held)),
    )


def _row(feed: str, epochs: tuple[Epoch, ...], held: tuple[Epoch, ...]) -> FeedRow:
    def median(values: list[float]) -> float:
        return float(np.median(values))

    return FeedRow(
        feed=feed,
        clips_per_second=median([one["clips"] / one["seconds"] for one in epochs]),
        ratio=median([b["seconds"] / a["seconds"] for a, b in zip(epochs, held, strict=True)]),
        cpu_ms_per_clip=median([1e3 * one["cpu_seconds"] / one["clips"] for one in epochs]),
        cpu_ratio=median(
            [b["cpu_seconds"] / a["cpu_seconds"] for a, b in zip(epochs, held, strict=True)]
        ),
        waiting=median([one["waited"] / one["seconds"] for one in epochs]),
        read_bytes=int(median([one["bytes_read"] for one in epochs])),
        peak_bytes=int(max(one["peak_bytes"] for one in epochs)),
    )
