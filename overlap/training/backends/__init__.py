"""Keras's backend: which one trains here, and which one began a training."""
