"""Pooling, scoring, the submission, and the registry of published ensembles."""
