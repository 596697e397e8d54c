"""Metrics of predictions: divergence, calibration, bootstrap intervals, disagreement of members."""
