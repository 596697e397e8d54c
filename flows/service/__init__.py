"""Prefect: deployments, the embedded server, concurrency limits, settings."""
