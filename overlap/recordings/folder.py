"""Predicts recordings and writes the results into a folder, which appears when it is complete."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from overlap.catalog import list_clips
from overlap.catalog.listing import Address
from overlap.catalog.problems import Problem
from overlap.columns.search import natural_order
from overlap.errors import ConfigError, DataError
from overlap.io.atomic import new_folder
from overlap.io.location import Location
from overlap.recordings.pooling import PooledWindows, WindowPool
from overlap.recordings.prediction import (
    PredictedWindow,
    RecordingEnd,
    WindowPredictor,
    predict_windows,
)
from overlap.recordings.recording_tables import RecordingTables
from overlap.recordings.segments import Segment, SegmentMerger
from overlap.recordings.windows import hop_samples

REASONS: Final = 5
"""Reasons that a message lists."""


@dataclass(frozen=True)
class WindowOptions:
    """How recordings are cut into windows, and what is written about them."""

    hop_seconds: float | None = None
    """Time from the start of a window to that of the next, s; None: half a window."""
    pool: WindowPool = "mean"
    """How the windows of a recording are pooled."""
    threshold: float = 0.5
    """Least probability of a word in the windows of a segment."""
    background: str = ""
    """The word that has no segments, such as that of noise; empty: all words have."""

    def __post_init__(self) -> None:
        if not 0 < self.threshold <= 1:
            raise ConfigError(
                f"a threshold of {self.threshold:g} is not possible; choose one above 0, at most 1",
                code="threshold-out-of-range",
                field="threshold",
            )


@dataclass(frozen=True)
class ListedRecordings:
    """Recordings with unique ids."""

    ids: tuple[str, ...]
    """Names of the files without suffix."""
    files: tuple[Location, ...]
    problems: tuple[Problem, ...]
    """Files that are not used."""


@dataclass
class RecordingsReport:
    """What was predicted."""

    recordings: int = 0
    """Number of recordings."""
    windows: int = 0
    """Number of windows."""
    segments: int = 0
    """Number of segments."""
    seconds: float = 0.0
    """Length of all recordings, s."""
    unusable_windows: int = 0
    """Number of windows without a prediction, such as silent ones."""
    repairs: dict[str, int] = field(default_factory=dict)
    """Number of recordings that were resampled, downmixed or padded."""
    problems: dict[str, str] = field(default_factory=dict)
    """Why a recording is unusable or incomplete, by its id."""
    unusable: list[str] = field(default_factory=list)
    """Ids of the recordings without any prediction."""


def list_recordings(address: Address | Sequence[Address]) -> ListedRecordings:
    """List a folder of recordings, a file, or several files.

    Raises:
        DataError: There are none, or their names cannot be used; see
            `overlap.catalog.list_clips`.
    """
    listing = list_clips(address)
    listing.problems.raise_if_fatal(str(listing.data))
    order = natural_order([*listing.files["clip_id"]])
    files = listing.files.iloc[order]
    return ListedRecordings(
        tuple(files["clip_id"]),
        tuple(listing.data / name for name in files["file"]),
        tuple(listing.problems.handled),
    )


def predict_recordings(
    recordings: ListedRecordings,
    ensemble: WindowPredictor,
    options: WindowOptions,
    out: Path,
    on_progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> RecordingsReport:
    """Predict recordings and write the files that `overlap.recordings.recording_tables` lists.

    Args:
        recordings: The recordings.
        ensemble: What predicts.
        options: Windows, pooling and threshold.
        out: Folder to create; it must not exist, or be empty. It appears when it is complete.
        on_progress: Receives the read and the total amount, in thousandths of a recording.

    Raises:
        ConfigError: The hop is not possible, or the background is no word (`unknown-word`).
        DataError: No recording is usable (`no-usable-recording`).
        UserError: `out` is not empty or cannot be written.
    """
    features, words, total = ensemble.features, ensemble.words, 1000 * len(recordings.ids)
    hop = hop_samples(options.hop_seconds, features.sample_rate, features.clip_samples)
    if options.background and options.background not in words:
        raise ConfigError(
            f"{options.background} is no word of the ensemble; its words are {', '.join(words)}",
            code="unknown-word",
            field="background",
        )
    report = RecordingsReport()
    with (
        new_folder(out) as folder,
        RecordingTables(folder, words, features.sample_rate / 2) as tables,
    ):
        events = predict_windows(
            recordings.files, ensemble, hop,
            lambda index, part: on_progress(int(1000 * (index + min(part, 1.0))), total),
        )  # fmt: skip
        current = None
        for event in events:
            if current is None or event.recording != current.index:
                current = _Recording(event.recording, options, words)
                tables.begin(recordings.ids[current.index], str(recordings.files[current.index]))
            if isinstance(event, RecordingEnd):
                segments = current.merger.finish()
                pooled, spread = current.pooled.result, current.mean_spread
                tables.write_recording(event, pooled, spread, (current.windows, current.unusable))
                current.report(event, recordings.ids[current.index], report)
            else:
                tables.write_window(event)
                segments = current.add(event)
            for segment in segments:
                tables.write_segment(segment)
                report.segments += 1
        if len(report.unusable) == report.recordings:
            named = [f"{name} ({reason})" for name, reason in report.problems.items()][:REASONS]
            raise DataError(
                f"no recording is usable: {', '.join(named)}",
                code="no-usable-recording",
                reasons=[*report.problems.values()][:REASONS],
            )
    return report


class _Recording:
    """What is accumulated about the current recording."""

    def __init__(self, index: int, options: WindowOptions, words: Sequence[str]) -> None:
        self.index = index
        self.merger = SegmentMerger(words, options.threshold, options.background)
        self.pooled = PooledWindows(options.pool, len(words))
        self.windows, self.unusable, self._spread = 0, 0, 0.0

    @property
    def mean_spread(self) -> float:
        """Mean disagreement over the usable windows, nats; NaN without one."""
        usable = self.windows - self.unusable
        return self._spread / usable if usable else np.nan

    def add(self, window: PredictedWindow) -> Iterator[Segment]:
        """Add a window, and yield the segments that are complete."""
        self.windows += 1
        if window.probabilities is None:
            self.unusable += 1
        else:
            self.pooled.add(window.probabilities)
            self._spread += window.disagreement
        return self.merger.add(window.start, window.end, window.probabilities)

    def report(self, end: RecordingEnd, name: str, report: RecordingsReport) -> None:
        """Add the whole recording to a report."""
        report.recordings += 1
        report.windows += self.windows
        report.unusable_windows += self.unusable
        report.seconds += end.seconds
        for repair in end.repairs:
            report.repairs[repair] = report.repairs.get(repair, 0) + 1
        without = self.windows == self.unusable
        if without:
            report.unusable.append(name)
        if end.problem or without:
            report.problems[name] = end.problem or "no window is usable"
