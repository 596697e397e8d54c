"""Prediction of any number of clips with a published ensemble; only predictions are stored."""
