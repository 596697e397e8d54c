"""Zarr, imported without settings of a user: files in `~/.config/zarr` and /etc/zarr, and ZARR_*.

They may choose another format, order or codec pipeline for the arrays of a workspace, and a damaged
file fails the import. A process that has imported Zarr already keeps its settings.
"""

import os
import sys

import fsspec  # noqa: F401  while HOME is known: its settings apply, such as those of object stores

_NOWHERE = f"{os.devnull}/none"  # an existing file would be read as YAML
_HIDDEN = {"HOME": _NOWHERE, "ZARR_ROOT_CONFIG": _NOWHERE, "ZARR_CONFIG": _NOWHERE}

if "zarr" not in sys.modules:
    _before = {name: os.environ.get(name) for name in _HIDDEN}
    os.environ.update(_HIDDEN)
    try:
        import zarr
    finally:
        for _name, _value in _before.items():
            if _value is None:
                del os.environ[_name]
            else:
                os.environ[_name] = _value
    zarr.config.refresh(paths=[], env={})  # nor the files and variables that were not hidden
import zarr  # noqa: E402
import zarr.abc.store  # noqa: E402
import zarr.codecs  # noqa: E402
import zarr.storage  # noqa: E402

__all__ = ["zarr"]
