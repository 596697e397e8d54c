"""Calibration of predicted probabilities."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Bins of predicted probability."""
MIN_RANGE = 1e-7
"""Lower bound of the range that the bins divide, so that predictions of zero have a bin."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Predicted probabilities and labels, binned by prediction.

    The bins have equal width and divide the range from 0 to the largest prediction.
    """

    top: float
    """Upper end of the last bin."""
    counts: NDArray[np.int64]
    """(bins,) number of predictions."""
    predicted: NDArray[np.float64]
    """(bins,) mean prediction; NaN in an empty bin."""
    true: NDArray[np.float64]
    """(bins,) mean label; NaN in an empty bin."""

    @property
    def error(self) -> float:
        """The expected calibration error: mean over predictions of the gap of their bin."""
        gaps = np.nan_to_num(np.abs(self.predicted - self.true))
        return float(gaps @ self.counts / self.counts.sum())


def calibration(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> Calibration:
    """Bin the predictions of all words.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
    """
    q, p = predictions.ravel(), labels.ravel()
    top = max(float(q.max()), MIN_RANGE)
    bins = np.minimum((q / top * BINS).astype(np.int64), BINS - 1)
    counts = np.bincount(bins, minlength=BINS)
    with np.errstate(invalid="ignore"):
        means = [np.bincount(bins, values, BINS) / counts for values in (q, p)]
    return Calibration(top, counts, *means)


def calibration_error(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Return the expected calibration error; see `Calibration`.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
    """
    return calibration(labels, predictions).error
