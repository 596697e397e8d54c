"""Calibration error of predicted probabilities."""

import numpy as np

from overlap.metrics.calibration import calibration_error


def test_calibration_error_of_exact_uniform_and_biased_predictions() -> None:
    picks = np.random.default_rng(0).random((4000, 4)).argsort(axis=1)[:, :2]
    labels = np.zeros((4000, 4))
    np.put_along_axis(labels, picks, 0.5, axis=1)
    biased = np.tile([0.7, 0.1, 0.1, 0.1], (4000, 1))
    assert calibration_error(labels, labels) == 0
    assert calibration_error(labels, np.full(labels.shape, 0.25)) < 0.01
    assert calibration_error(labels, biased) > 0.1


def test_predictions_of_zero_have_a_bin() -> None:
    labels = np.array([[0.5, 0.5]])
    assert calibration_error(labels, np.zeros((1, 2))) == 0.5
