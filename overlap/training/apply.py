"""One member applied to clips: `python -m overlap.training.apply MODEL FOLDER OUT`.

FOLDER holds a catalogue and features, as a workspace does; OUT receives the rows and their
predictions. In a process of its own, for the reasons given in `overlap.training.member`.
"""

import argparse
import sys

from overlap.catalog import Catalog
from overlap.child import as_child
from overlap.features import FeatureStore
from overlap.storage import Location
from overlap.training.feed import ChunkedSource
from overlap.training.fit import predict
from overlap.training.member import load_model


def apply_model(model: Location, folder: Location, out: Location) -> None:
    """Predict all usable test clips of a folder and write test_rows and test to `out`."""
    rows = Catalog.load(folder).rows("test")
    source = ChunkedSource(FeatureStore.open(folder))
    out.write_arrays({"test_rows": rows, "test": predict(load_model(model), source, rows)})


def main() -> int:
    """Apply the model named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("model", "folder", "out"):
        parser.add_argument(name, type=Location.of)
    arguments = parser.parse_args()
    with as_child():
        apply_model(arguments.model, arguments.folder, arguments.out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
