"""The Dask cluster of a flow: start or connect, and check before work is submitted."""
