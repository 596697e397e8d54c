"""Files of a workspace and their keys keep the names in docs/architecture.md."""

import json
import re

import numpy as np
import pytest
import zarr

from support.process_fixtures import Finished

pytestmark = pytest.mark.slow


def test_print(finished: Finished) -> None:
    w = finished.workspace
    print(
        sorted(
            {
                re.sub(
                    r"[0-9a-f]{16,}|\d{8}-\d{6}-[0-9a-f]{8}|\d{8}T\d+-\d+",
                    "*",
                    str(f.relative_to(w)),
                )
                for f in w.rglob("*")
                if f.is_file() and "features.zarr" not in str(f)
            }
        )
    )
    for f in w.rglob("*.json"):
        if "zarr" not in str(f):
            print(f.name, json.loads(f.read_text()).keys())
    for f in w.rglob("*.npz"):
        print(f.parent.parent.name, f.name, np.load(f).files)
    g = zarr.open_group(w / "features.zarr", mode="r")
    print(
        dict(g.attrs).keys(),
        [n for n, _ in g.members(max_depth=None)],
        dict(g["mel"].attrs),
        g["mel"].metadata.dimension_names,
    )
