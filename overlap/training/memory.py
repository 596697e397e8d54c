"""How much memory a member's features take, and what is done when it is too much."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import psutil

GB = 1e9


@dataclass(frozen=True)
class MemoryPlan:
    """How a member is fed."""

    mode: Literal["memory", "stream"]
    """Whether all features are held in memory."""
    bytes: int
    """Memory that the features take."""
    window_chunks: int
    """Chunks per shuffling window in stream mode."""


def plan_memory(
    shape: tuple[int, int, int],
    chunk_clips: int,
    clips: int,
    limit_gb: float | None,
    free_bytes: int | None = None,
) -> MemoryPlan:
    """Choose between memory and stream mode.

    Args:
        shape: (mel, frame, resolution) of a clip's float16 features.
        chunk_clips: Clips per chunk of the store.
        clips: Clips that a member learns from and is scored on.
        limit_gb: Memory for features, GB; None: half of what is free.
        free_bytes: What is free; None: ask the machine.
    """
    per_clip = 2 * int(np.prod(shape))
    free = psutil.virtual_memory().available if free_bytes is None else free_bytes
    limit = free / 2 if limit_gb is None else limit_gb * GB
    if clips * per_clip <= limit:
        return MemoryPlan("memory", clips * per_clip, 0)
    chunk = per_clip * chunk_clips
    # A batch may lie across two windows, so two are held at once.
    window = max(1, int(limit / (2 * chunk)))
    return MemoryPlan("stream", 2 * window * chunk, window)
