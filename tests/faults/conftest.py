"""Faults on purpose: a quick part in `make test`, the long one marked `faults`."""
