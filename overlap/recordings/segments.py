"""Merges consecutive windows in which a word is above a threshold into segments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Segment:
    """A part of a recording in which a word was found."""

    word: str
    start: float
    """Start of the first window, s."""
    end: float
    """End of the last window, s."""
    probability: float
    """Largest probability of the word in a window."""
    peak: float
    """Middle of the window with this probability, s: the best estimate of the word's time."""
    windows: int
    """Number of windows."""


class SegmentMerger:
    """Merges the windows of one recording, in their order.

    Args:
        words: The words.
        threshold: Least probability of a word in a window.
        background: The word that has no segments; empty: all words have.
    """

    def __init__(self, words: Sequence[str], threshold: float, background: str = "") -> None:
        self._words, self._threshold = words, threshold
        self._without = {index for index, word in enumerate(words) if word == background}
        self._open: dict[int, Segment] = {}
        self._closed: list[Segment] = []

    def add(
        self, start: float, end: float, probabilities: NDArray[np.float64] | None
    ) -> Iterator[Segment]:
        """Add a window and yield the segments that are complete, in the order of their starts.

        Args:
            start: Start of the window, s.
            end: End of the window, s.
            probabilities: (words,); None for an unusable window, which ends all segments.
        """
        found: set[int] = set()
        if probabilities is not None:
            found = {*np.flatnonzero(probabilities >= self._threshold).tolist()} - self._without
            for word in found:
                self._extend(word, start, end, float(probabilities[word]))
        self._closed += [self._open.pop(word) for word in [*self._open] if word not in found]
        yield from self._released(min((one.start for one in self._open.values()), default=np.inf))

    def finish(self) -> Iterator[Segment]:
        """Yield the remaining segments at the end of the recording."""
        self._closed += self._open.values()
        self._open.clear()
        yield from self._released(np.inf)

    def _extend(self, word: int, start: float, end: float, probability: float) -> None:
        before, middle = self._open.get(word), (start + end) / 2
        if before is None:
            self._open[word] = Segment(self._words[word], start, end, probability, middle, 1)
            return
        higher = probability > before.probability
        self._open[word] = Segment(
            before.word,
            before.start,
            end,
            max(probability, before.probability),
            middle if higher else before.peak,
            before.windows + 1,
        )

    def _released(self, before: float) -> Iterator[Segment]:
        """Yield closed segments that start before every open one."""
        self._closed.sort(key=lambda one: (one.start, one.word))
        ready = [one for one in self._closed if one.start < before]
        self._closed = self._closed[len(ready) :]
        yield from ready
