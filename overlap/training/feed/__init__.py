"""Reads the feature store and makes the batches of an epoch."""
