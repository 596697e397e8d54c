"""Cuts the stream of a recording into overlapping windows of the clip length.

`overlap.audio.windows` defines their starts. The last one ends with the recording, so that every
sample is in a window and none is invented. A recording that is shorter than a window is padded with
silence, as a clip is.

A window with the whole of a recording equals the clip that `overlap.audio.decode` returns. It is
unusable for the same reasons: silence, samples that are not finite, or too loud ones.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.audio.decode import silent_error
from overlap.audio.stream import Block, Fault
from overlap.audio.windows import IGNORED_TAIL, hop_error
from overlap.errors import AudioError


@dataclass(frozen=True, eq=False)
class Window:
    """A part of a recording with the length of a clip."""

    start: int
    """First sample."""
    stop: int
    """End, exclusive: beyond the last sample that the recording has in this window."""
    samples: NDArray[np.float32] | AudioError
    """(samples,) float32, or why the window is unusable."""


def hop_samples(hop_seconds: float | None, sample_rate: int, clip_samples: int) -> int:
    """Return the samples from the start of a window to that of the next.

    Args:
        hop_seconds: The hop, s; None: half a clip.
        sample_rate: Sampling rate, Hz.
        clip_samples: Length of a window.

    Raises:
        ConfigError: The hop is shorter than a sample or longer than a window (`hop-out-of-range`).
    """
    if hop_seconds is None:
        return max(1, clip_samples // 2)
    hop = round(hop_seconds * sample_rate) if np.isfinite(hop_seconds) else 0
    if not 1 <= hop <= clip_samples:
        raise hop_error(hop_seconds, 1 / sample_rate, clip_samples / sample_rate)
    return hop


def cut_windows(blocks: Iterable[Block], length: int, hop: int) -> Iterator[Window]:
    """Yield the windows of a recording; at most a window and a block are in memory.

    Args:
        blocks: The recording, which has at least one sample.
        length: Samples of a window.
        hop: Samples from the start of a window to that of the next, from 1 to `length`.
    """
    kept, waiting = np.empty(0, np.float32), list[NDArray[np.float32]]()
    first, start, covered = 0, 0, 0  # of `kept`; of the next window; by windows so far
    read, faults = 0, list[Fault]()
    for block in blocks:
        waiting.append(block.samples)
        read += len(block.samples)
        faults += block.faults
        if read < start + length:
            continue
        kept, waiting = np.concatenate([kept, *waiting]), []
        while read >= start + length:
            at = start - first
            yield _window(kept[at : at + length], start, start + length, faults)
            covered, start = start + length, start + hop
        # The last window may start earlier than the next one.
        needed = max(first, min(start, read - length))
        kept, first = kept[needed - first :], needed
        faults = [fault for fault in faults if fault.stop > first]
    kept = np.concatenate([kept, *waiting])
    end = first + len(kept)
    if not covered:
        padded = np.zeros(length, np.float32)
        padded[:end] = kept
        yield _window(padded, 0, end, faults)
    elif end - covered >= IGNORED_TAIL * length:
        yield _window(kept[-length:], end - length, end, faults)


def _window(samples: NDArray[np.float32], start: int, stop: int, faults: Iterable[Fault]) -> Window:
    for fault in faults:
        if fault.start < stop and fault.stop > start:
            return Window(start, stop, fault.error)
    return Window(start, stop, samples.copy() if samples.any() else silent_error())
