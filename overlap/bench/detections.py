"""Compares detected words with those at known times: precision, recall, error of the times."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from overlap.recordings.segments import Segment
from overlap.synthetic.scenes import PlacedWord, words_in


@dataclass(frozen=True)
class Detections:
    """How well words were found at one threshold."""

    name: str
    """What was predicted."""
    threshold: float
    """Least probability of a detected word."""
    found: int
    """Words that were detected."""
    missed: int
    """Words that were not."""
    wrong: int
    """Detections without a word."""
    error: float | None = None
    """Median distance of the detected time from the middle of the word, s."""
    large_error: float | None = None
    """The distance that one word in ten exceeds, s."""

    @property
    def precision(self) -> float:
        """Part of the detections that are right; 0 without any."""
        return self.found / max(1, self.found + self.wrong)

    @property
    def recall(self) -> float:
        """Part of the words that were detected."""
        return self.found / (self.found + self.missed)


def match_segments(
    name: str,
    threshold: float,
    segments: Sequence[Segment],
    placed: Sequence[PlacedWord],
    within: float,
) -> Detections:
    """Match segments with words of the same name, one to one, in the order of their times.

    Args:
        name: What was predicted.
        threshold: The threshold of the segments.
        segments: The segments.
        placed: The words.
        within: Largest distance of a segment's peak from the middle of its word, s.
    """
    errors: list[float] = []
    for word in {one.word for one in placed}:
        middles = sorted((one.start + one.end) / 2 for one in placed if one.word == word)
        peaks = sorted(one.peak for one in segments if one.word == word)
        errors += _matched(middles, peaks, within)
    return Detections(
        name, threshold, len(errors), len(placed) - len(errors), len(segments) - len(errors),
        float(np.median(errors)) if errors else None,
        float(np.quantile(errors, 0.9)) if errors else None,
    )  # fmt: skip


def _matched(middles: Sequence[float], peaks: Sequence[float], within: float) -> Iterator[float]:
    """Yield the distance of every matched pair of two ascending series."""
    middle = peak = 0
    while middle < len(middles) and peak < len(peaks):
        distance = peaks[peak] - middles[middle]
        if abs(distance) <= within:
            yield abs(distance)
            middle, peak = middle + 1, peak + 1
        elif distance < 0:
            peak += 1
        else:
            middle += 1


def known_clips(
    placed: Sequence[PlacedWord], seconds: float, length: float
) -> list[tuple[float, tuple[str, ...]]]:
    """Return the start, s, and the words of clips at the known times of a recording.

    Every word is in the middle of a clip, as far as the recording allows; the time between words
    is divided into consecutive clips without a word.

    Args:
        placed: The words, in order.
        seconds: Length of the recording.
        length: Length of a clip, s.
    """
    clips, free = [], 0.0
    for one in placed:
        at = min(max(0.0, (one.start + one.end - length) / 2), seconds - length)
        clips.append((at, words_in(placed, at, length)))
        clips += _between(free, one.start, length)
        free = one.end
    return clips + _between(free, seconds, length)


def _between(start: float, end: float, length: float) -> list[tuple[float, tuple[str, ...]]]:
    return [(start + number * length, ()) for number in range(int((end - start) / length))]


def score_clips(
    contents: Sequence[Sequence[str]],
    probabilities: NDArray[np.float64],
    columns: Sequence[str],
    words: Sequence[str],
    thresholds: Sequence[float],
) -> Iterator[Detections]:
    """Yield how well the words of clips are recognised at each threshold.

    Args:
        contents: The words of each clip.
        probabilities: (clips, columns).
        columns: Words of the columns.
        words: The words that count.
        thresholds: The thresholds.
    """
    chosen = probabilities[:, [columns.index(word) for word in words]]
    present = np.array([[word in some for word in words] for some in contents])
    for threshold in thresholds:
        detected = chosen >= threshold
        yield Detections(
            "clips at known times", threshold, int((detected & present).sum()),
            int((~detected & present).sum()), int((detected & ~present).sum()),
        )  # fmt: skip
