"""The feature store: one Zarr group, written block by block."""
