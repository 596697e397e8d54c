"""The windows of one recording as a table in memory."""

import warnings

import numpy as np
import pandas as pd

from overlap.catalog.problems import DataWarning
from overlap.errors import AudioError
from overlap.io.location import Location
from overlap.metrics.disagreement import spread_column
from overlap.recordings.prediction import RecordingEnd, WindowPredictor, predict_windows
from overlap.recordings.recording_tables import column_name
from overlap.recordings.windows import hop_samples


def predict_to_frame(
    recording: Location, ensemble: WindowPredictor, hop_seconds: float | None
) -> pd.DataFrame:
    """Predict the windows of a recording.

    Args:
        recording: The file.
        ensemble: What predicts.
        hop_seconds: Time from the start of a window to that of the next, s; None: half a window.

    Returns:
        One row per window: `start_s`, `end_s`, a column per word and `spread`, float64; NaN in
        the row of an unusable window.

    Raises:
        AudioError: The recording cannot be read.
        ConfigError: The hop is not possible.

    Warns:
        DataWarning: The recording is incomplete.
    """
    features, words = ensemble.features, ensemble.words
    hop = hop_samples(hop_seconds, features.sample_rate, features.clip_samples)
    missing = np.full(len(words), np.nan)
    rows: list[list[float]] = []
    for event in predict_windows([recording], ensemble, hop):
        if not isinstance(event, RecordingEnd):
            shares = missing if event.probabilities is None else event.probabilities
            rows.append([event.start, event.end, *shares.tolist(), event.disagreement])
        elif event.problem and not rows:
            raise AudioError(f"{recording}: {event.problem}", code="unusable-recording")
        elif event.problem:
            warnings.warn(f"{recording}: {event.problem}", DataWarning, stacklevel=3)
    times = [column_name(name, words) for name in ("start_s", "end_s")]
    return pd.DataFrame(rows, columns=[*times, *words, spread_column(words)], dtype=np.float64)
