"""Writes predictions of recordings as a stream: tables, Audacity labels and Raven selections.

windows.csv               a row per window
recordings.csv            a row per recording
segments.csv              a row per segment
audacity/ID.txt           a label track per recording (File > Import > Labels)
raven/ID.selections.txt   a selection table per recording (File > Open Selection Table)
"""

import csv
import math
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self, TextIO

import numpy as np
from numpy.typing import NDArray

from overlap.metrics.disagreement import spread_column
from overlap.recordings.prediction import PredictedWindow, RecordingEnd
from overlap.recordings.segments import Segment

WINDOWS, RECORDINGS, SEGMENTS = "windows.csv", "recordings.csv", "segments.csv"
AUDACITY, RAVEN = "audacity", "raven"
RAVEN_COLUMNS: Final = (
    *("Selection", "View", "Channel", "Begin Time (s)", "End Time (s)", "Low Freq (Hz)"),
    *("High Freq (Hz)", "Common Name", "Confidence", "Begin Path", "File Offset (s)"),
)
"""Columns of a selection table: those that Raven needs, and those of BirdNET-Analyzer's tables,
whose readers look for the name and the confidence."""


class RecordingTables:
    """The files of a prediction, open for writing; a context manager.

    Args:
        folder: An existing folder.
        words: The words.
        highest_hz: Highest frequency of the features, Hz.
    """

    def __init__(self, folder: Path, words: Sequence[str], highest_hz: float) -> None:
        self._folder, self._words, self._highest = folder, len(words), highest_hz
        self._files, self._recording_files = ExitStack(), ExitStack()
        (folder / AUDACITY).mkdir()
        (folder / RAVEN).mkdir()
        start, end, problem = (column_name(name, words) for name in ("start_s", "end_s", "problem"))
        spread = spread_column(words)
        self._window = self._table(WINDOWS, ["id", start, end, *words, spread, problem])
        others = [column_name(name, words) for name in ("seconds", "windows", "unusable_windows")]
        self._recording = self._table(RECORDINGS, ["id", *words, spread, *others, problem])
        self._segment = self._table(
            SEGMENTS, ["id", "start_s", "end_s", "word", "probability", "peak_s", "windows"]
        )
        self._id, self._path, self._selections = "", "", 0
        self._labels: Callable[[Iterable[object]], object] = self._segment
        self._raven: Callable[[Iterable[object]], object] = self._segment

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._recording_files.close()
        self._files.close()

    def begin(self, recording_id: str, path: str) -> None:
        """Begin a recording.

        Args:
            recording_id: Its id, which is part of names of files.
            path: Its address, by which Raven finds the sound.
        """
        self._recording_files.close()
        self._id, self._path, self._selections = recording_id, _one_line(path), 0
        labels = self._opened(
            self._folder / AUDACITY / f"{recording_id}.txt", self._recording_files
        )
        self._labels = _tab_separated(labels)
        raven = self._folder / RAVEN / f"{recording_id}.selections.txt"
        self._raven = _tab_separated(self._opened(raven, self._recording_files))
        self._raven(RAVEN_COLUMNS)

    def write_window(self, window: PredictedWindow) -> None:
        """Write a window; the cells of an unusable one are empty."""
        cells = self._cells(window.probabilities)
        times = _seconds(window.start), _seconds(window.end)
        self._window([self._id, *times, *cells, _share(window.disagreement), window.problem])

    def write_segment(self, segment: Segment) -> None:
        """Write a segment of the current recording to all files of segments."""
        start, end = _seconds(segment.start), _seconds(segment.end)
        share = f"{segment.probability:.4f}"
        peak = _seconds(segment.peak)
        self._segment([self._id, start, end, segment.word, share, peak, segment.windows])
        word = _one_line(segment.word)
        self._labels([f"{segment.start:.6f}", f"{segment.end:.6f}", f"{word} {share}"])
        self._selections += 1
        band = 0, f"{self._highest:g}"
        name = word, share, self._path, start
        self._raven((self._selections, "Spectrogram 1", 1, start, end, *band, *name))

    def write_recording(
        self,
        end: RecordingEnd,
        probabilities: NDArray[np.float64] | None,
        disagreement: float,
        windows: tuple[int, int],
    ) -> None:
        """Write the row of the current recording.

        Args:
            end: Its end.
            probabilities: (words,) pooled probabilities; None: empty cells.
            disagreement: Mean over its windows, nats.
            windows: Number of its windows, and of the unusable ones.
        """
        cells = self._cells(probabilities)
        self._recording(
            [self._id, *cells, _share(disagreement), _seconds(end.seconds), *windows, end.problem]
        )

    def _cells(self, probabilities: NDArray[np.float64] | None) -> list[str]:
        if probabilities is None:
            return [""] * self._words
        return [_share(value) for value in probabilities.tolist()]

    def _table(self, name: str, columns: Sequence[str]) -> Callable[[Iterable[object]], object]:
        writer = csv.writer(self._opened(self._folder / name, self._files), lineterminator="\n")
        writer.writerow(columns)
        return writer.writerow

    def _opened(self, path: Path, files: ExitStack) -> TextIO:
        return files.enter_context(path.open("w", encoding="utf-8", newline=""))


def _tab_separated(file: TextIO) -> Callable[[Iterable[object]], object]:
    return lambda cells: file.write("\t".join(map(str, cells)) + "\n")


def column_name(name: str, words: Collection[str]) -> str:
    """Return the name of a column that is not a word."""
    while name in words:
        name += "_"
    return name


def _one_line(text: str) -> str:
    """Replace what would end a cell of a file without quotes."""
    return " ".join(text.split())


def _share(value: float) -> str:
    return f"{value:.9g}" if math.isfinite(value) else ""


def _seconds(value: float) -> str:
    """Return a time with microseconds, without trailing zeros.

    Examples:
        >>> _seconds(3599.5), _seconds(0.0), _seconds(1 / 3)
        ('3599.5', '0', '0.333333')
    """
    return f"{value:.6f}".rstrip("0").rstrip(".")
