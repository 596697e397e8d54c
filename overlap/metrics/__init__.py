"""Scores of predictions: divergence, calibration, intervals, disagreement of members."""
