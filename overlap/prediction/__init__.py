"""Clips of any number through a published ensemble, with nothing on disk but the predictions."""
