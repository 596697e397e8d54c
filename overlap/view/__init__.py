"""The web page of a workspace, and prediction over HTTP; reads the workspace and changes nothing.

The package imports neither Prefect nor Dask, so the page also opens where no service runs.
"""
