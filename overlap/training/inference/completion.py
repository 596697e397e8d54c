"""Writes the inference graph of a member that has just been completed."""

import sys
from importlib.util import find_spec

import numpy as np

from overlap.catalog import Catalog
from overlap.errors import OverlapError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.training.feed.sources import ChunkedSource
from overlap.training.inference.store import (
    COMPARED_CLIPS,
    Predictor,
    stored_network,
    write_graph,
)
from overlap.training.spec import MemberRecord


def complete_graph(
    network: Predictor,
    record: MemberRecord,
    catalog: Catalog,
    store: FeatureStore,
    folder: Location,
) -> None:
    """Write the graph of a member after its record; the member does not depend on it.

    Args:
        network: The trained network.
        record: The member's record, which is written.
        catalog: The clips.
        store: Their features: the graph is compared with the network on some of them.
        folder: The member's folder.
    """
    if find_spec("onnxruntime") is None or find_spec("onnx") is None:
        return
    rows = np.flatnonzero(catalog.usable)[:COMPARED_CLIPS]
    try:
        if stored_network(folder, record) is not None:
            return
        (decibels,) = ChunkedSource(store).batches(rows, COMPARED_CLIPS)
        refused = write_graph(folder, record, network, decibels)
    except (OSError, ValueError, OverlapError) as error:
        refused = str(error)
    if refused:
        sys.stderr.write(f"no inference graph: {refused}\n")
