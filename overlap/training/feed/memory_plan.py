"""How much memory a member's features take, and what is done when it is too much."""

from dataclasses import dataclass
from typing import Literal

from overlap.config import TrainingConfig
from overlap.errors import ConfigError
from overlap.io.formatting import format_bytes
from overlap.system.memory import free_memory

GB = 1e9
DEVICE_FRACTION = 0.3
"""Of an accelerator's memory, for features. The rest is for the network and its activations, and
JAX holds the features twice while they are brought there."""


@dataclass(frozen=True)
class MemoryPlan:
    """How a member is fed."""

    mode: Literal["device", "memory", "stream"]
    """Where its features are: on the accelerator, in memory, or read as they are needed."""
    bytes: int
    """Memory that they take there."""
    window_clips: int = 0
    """Clips that are read ahead in stream mode."""


def plan_memory(
    clip_bytes: int,
    chunk_clips: int,
    clips: int,
    training: TrainingConfig,
    free_bytes: int | None = None,
    device_bytes: int = 0,
) -> MemoryPlan:
    """Choose between device, memory and stream mode; it changes no result.

    Args:
        clip_bytes: Bytes of a clip's features.
        chunk_clips: Clips per chunk of the store.
        clips: Clips that a member learns from and is scored on.
        training: Says how much memory there is, and how much streaming needs.
        free_bytes: What is free; None: ask the machine and its container.
        device_bytes: Memory of the accelerator that the member may use; 0: there is none.

    Raises:
        ConfigError: not even two windows fit.
    """
    on_device = (
        DEVICE_FRACTION * device_bytes if training.device_gb is None else training.device_gb * GB
    )
    if clips * clip_bytes <= on_device:
        return MemoryPlan("device", clips * clip_bytes)
    free = free_memory() if free_bytes is None else free_bytes
    limit = free / 2 if training.memory_gb is None else training.memory_gb * GB
    if clips * clip_bytes <= limit:
        return MemoryPlan("memory", clips * clip_bytes)
    # While one window is used the next is read.
    window = window_chunks(training.shuffle_clips, chunk_clips) * chunk_clips
    needed = 2 * window * clip_bytes
    if needed > limit:
        whose = "half of the free memory" if training.memory_gb is None else "training.memory_gb"
        raise ConfigError(
            f"two windows of training.shuffle_clips {training.shuffle_clips} take "
            f"{format_bytes(needed)}, but {whose} is {format_bytes(limit)}; lower "
            "training.shuffle_clips, or give more memory"
        )
    return MemoryPlan("stream", needed, window)


def window_chunks(shuffle_clips: int, chunk_clips: int) -> int:
    """Chunks per shuffling window."""
    return max(1, shuffle_clips // chunk_clips)
