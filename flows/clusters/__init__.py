"""The Dask cluster of a flow: opened, named by class, checked before work is submitted."""
