"""Prefect tasks: thin wrappers around the library, and the only place where Dask meets it."""
