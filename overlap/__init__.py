"""The library behind the service: clips of overlapping words in, an averaged ensemble out.

No Prefect and no Dask in here: every function can be called from a notebook.
"""

from importlib.metadata import version

__version__ = version("overlap")
