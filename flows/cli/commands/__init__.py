"""The commands of `overlap`: one module per group, each of which adds its commands with `register`.

Modules that import Prefect, Dask or Zarr are imported within the commands: Prefect reads the
settings of `flows.service.environment` when it is imported, and `overlap --help` stays fast.
"""
