"""Calibration of predicted probabilities."""

import numpy as np
from numpy.typing import NDArray

BINS = 10
"""Bins of predicted probability."""
MIN_RANGE = 1e-7
"""Lower bound of the range that the bins divide, so that predictions of zero have a bin."""


def calibration_error(labels: NDArray[np.float64], predictions: NDArray[np.float64]) -> float:
    """Return the expected calibration error of the probabilities.

    The cells are binned by prediction into `BINS` bins of equal width from 0 to the largest
    prediction. The result is the mean over cells of |mean prediction - mean label| of their bin.

    Args:
        labels: (clips, words); each row a distribution.
        predictions: (clips, words); each row a distribution.
    """
    q, p = predictions.ravel(), labels.ravel()
    top = max(float(q.max()), MIN_RANGE)
    bins = np.minimum((q / top * BINS).astype(np.int64), BINS - 1)
    gap = np.bincount(bins, q - p, BINS)
    return float(np.abs(gap).sum() / len(q))
