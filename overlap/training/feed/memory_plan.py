"""Decides where a member's features are kept: on the device, in memory, or streamed."""

from dataclasses import dataclass
from typing import Literal

from overlap.config import TrainingConfig
from overlap.errors import ConfigError
from overlap.io.formatting import format_bytes
from overlap.system.resources.memory import free_memory
from overlap.system.resources.sharing import trainings_here

Mode = Literal["device", "memory", "stream"]
"""Where features are: on the accelerator, in memory, or read from the store as needed."""
GB = 1e9
DEVICE_FRACTION = 0.3
"""Fraction of an accelerator's memory for features; the rest is for the network and its
activations."""


@dataclass(frozen=True)
class MemoryPlan:
    """Where a member's features are kept, and how much memory they take."""

    mode: Mode
    bytes: int
    """Memory that the features take there, bytes."""
    window_clips: int = 0
    """Clips per window in stream mode; the next window is read ahead."""


def plan_memory(
    clip_bytes: int,
    chunk_clips: int,
    clips: int,
    training: TrainingConfig,
    free_bytes: int | None = None,
    device_bytes: int = 0,
    trainings: int | None = None,
) -> MemoryPlan:
    """Choose between device, memory and stream mode; the choice does not affect the result.

    Args:
        clip_bytes: Bytes of a clip's features.
        chunk_clips: Clips per chunk of the store.
        clips: Clips that the member trains on and is scored on.
        training: Limits of the memory, and the size of a shuffling window.
        free_bytes: Free memory, bytes; None: measure that of the machine and its container.
        device_bytes: Memory of the accelerator that the member may use, bytes; 0 without one.
        trainings: Trainings that share the free memory; None: as many as share that of this
            process.

    Raises:
        ConfigError: Two windows do not fit (code `memory-too-small`, with the `needed` bytes and
            the `limit`).
    """
    on_device = (
        DEVICE_FRACTION * device_bytes if training.device_gb is None else training.device_gb * GB
    )
    if clips * clip_bytes <= on_device:
        return MemoryPlan("device", clips * clip_bytes)
    free = free_memory() if free_bytes is None else free_bytes
    half = free / 2 / (trainings or trainings_here())
    limit = half if training.memory_gb is None else training.memory_gb * GB
    if clips * clip_bytes <= limit:
        return MemoryPlan("memory", clips * clip_bytes)
    # The next window is read while one is in use.
    window = window_chunks(training.shuffle_clips, chunk_clips) * chunk_clips
    needed = 2 * window * clip_bytes
    if needed > limit:
        source = (
            "this member's share of half of the free memory"
            if training.memory_gb is None
            else "training.memory_gb"
        )
        raise ConfigError(
            f"two windows of training.shuffle_clips={training.shuffle_clips} need "
            f"{format_bytes(needed)}, but {source} is {format_bytes(limit)}; lower "
            "training.shuffle_clips or provide more memory",
            code="memory-too-small", needed=needed, limit=int(limit),
        )  # fmt: skip
    return MemoryPlan("stream", needed, window)


def window_chunks(shuffle_clips: int, chunk_clips: int) -> int:
    """Return the number of chunks per shuffling window."""
    return max(1, shuffle_clips // chunk_clips)
