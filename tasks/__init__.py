"""Prefect tasks: thin wrappers around the library, and its only connection to Dask."""
