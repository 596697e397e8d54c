"""Keeps the inference graph of a member beside its network, and predicts with it.

    inference.onnx   the graph
    inference.json   what it was made from, and how closely it agrees with the network

Both files can be made again at any time. They are no part of the member's record: releases that do
not know them ignore them, and damage to them costs time only. A graph is used only if both digests
match: its own, and that of the network it was made from.
"""

from importlib.util import find_spec
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import PositiveInt

from overlap.errors import OverlapError
from overlap.io.location import Location
from overlap.io.records import Record
from overlap.io.workspace_paths import MODEL_FILE, MemberPaths
from overlap.system.resources.accelerators import visible_accelerators
from overlap.system.resources.sharing import share_of_processors
from overlap.training.inference.shares import shares
from overlap.training.spec import MemberRecord, read_member_file
from overlap.training.trusted import check_trusted

TOLERANCE: Final = 1e-4
"""Largest difference between the probabilities of graph and network: far above the rounding of
float32 and far below what a wrong graph gives. Rounding in another order gives 1e-7 to 1e-6 as a
rule. Networks that are very sure had 8e-6, of which the graph was closer to the result in float64
than Keras, and untrained networks of full size 2e-5."""
COMPARED_CLIPS: Final = 64
"""Clips on which a new graph is compared with its network."""


class Predictor(Protocol):
    """What predicts: a graph, or a network of Keras."""

    def predict_on_batch(self, decibels: NDArray[np.float16]) -> Any:  # noqa: ANN401  of any backend
        """Return (clips, words) probabilities of (clips, mel, frame, resolution) decibels."""


class GraphRecord(Record):
    """What a graph was made from."""

    network: str
    """SHA-256 of the saved network."""
    graph: str
    """SHA-256 of the graph."""
    subset: int | None
    """Words per clip of a head over sets; None: softmax."""
    difference: float
    """Largest difference between the probabilities of graph and network."""
    clips: int
    """Number of clips on which they were compared."""
    clips_at_once: PositiveInt = 32
    """Clips for which the graph is fastest; graphs of earlier releases do not state it."""


class GraphNetwork:
    """A graph in ONNX Runtime, on the processors of this process.

    Args:
        content: The graph.
        subset: Words per clip of a head over sets; None: softmax.
        clips_at_once: Clips that are computed at once.
    """

    def __init__(self, content: bytes, subset: int | None, clips_at_once: int) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = share_of_processors()
        options.log_severity_level = 3
        # Threads that wait for work would take processor time from the next batch's features.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            content, options, providers=["CPUExecutionProvider"]
        )
        self._subset, self._clips_at_once = subset, clips_at_once

    def predict_on_batch(self, decibels: NDArray[np.float16]) -> NDArray[np.float64]:
        """Return (clips, words) probabilities of (clips, mel, frame, resolution) decibels."""
        name = self._session.get_inputs()[0].name
        step = self._clips_at_once
        parts = (decibels[i : i + step] for i in range(0, len(decibels), step))
        scores = [self._session.run(None, {name: part})[0] for part in parts]
        return shares(np.concatenate(scores), self._subset)


def unusable_reason() -> str | None:
    """Return why this process does not predict with graphs; None: it does."""
    missing = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        return f"{' and '.join(missing)} not installed"
    return "an accelerator predicts" if visible_accelerators() else None


def stored_network(folder: Location, record: MemberRecord) -> GraphNetwork | None:
    """Open the graph of a member; None if there is none that can be trusted.

    Raises:
        CorruptError: The member's network is missing or damaged, as when Keras loads it.
    """
    read_member_file(folder, record, MODEL_FILE)
    paths = MemberPaths(folder)
    try:
        made = paths.graph_record.read_record(GraphRecord)
        if made.network != record.files[MODEL_FILE]:
            return None
        return GraphNetwork(paths.graph.read_verified(made.graph), made.subset, made.clips_at_once)
    except (OSError, OverlapError):
        return None
    except Exception:  # noqa: BLE001  an older ONNX Runtime may refuse the graph, with any error
        return None


def write_graph(
    folder: Location, record: MemberRecord, network: Predictor, decibels: NDArray[np.float16]
) -> str | None:
    """Write the graph of a complete member, if it agrees with the network.

    Args:
        folder: The member's folder.
        record: Its record.
        network: Its network, as Keras loads it.
        decibels: (clips, mel, frame, resolution) features of some clips to compare on.

    Returns:
        Why there is no graph; None: it is written.

    Raises:
        CorruptError: The saved network is missing or damaged.
        OSError: The folder cannot be written.
    """
    from overlap.training.inference.graph import UnsupportedNetworkError, build_graph

    saved, paths = read_member_file(folder, record, MODEL_FILE), MemberPaths(folder)
    check_trusted(saved, str(paths.model))
    try:
        graph = build_graph(saved)
    except UnsupportedNetworkError as error:
        return str(error)
    if not len(decibels):
        return "there is no clip to compare it on"
    expected = np.asarray(network.predict_on_batch(decibels), np.float64)
    predictor = GraphNetwork(graph.content, graph.subset, graph.clips_at_once)
    found = predictor.predict_on_batch(decibels)
    difference = float(np.abs(found - expected).max())
    if not difference <= TOLERANCE:
        return f"it differs from the network by {difference:.2g} on {len(decibels)} clips"
    paths.graph.write_bytes(graph.content)
    paths.graph_record.write_record(
        GraphRecord(
            network=record.files[MODEL_FILE],
            graph=str(paths.graph.digest()),
            subset=graph.subset,
            difference=difference,
            clips=len(decibels),
            clips_at_once=graph.clips_at_once,
        )
    )
    return None
