"""Prediction of recordings of any length in overlapping windows of the ensemble's clip length."""
