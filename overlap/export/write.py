"""Exports an ensemble to one file: `python -m overlap.export.write RECORD keras|onnx OUT`.

RECORD is the record of an ensemble in its workspace. The module runs in a process of its own, for
the reasons given in `overlap.training.member`. The file is compared with the pipeline before it is
written to OUT.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overlap.ensemble.registry import load_ensemble
from overlap.errors import CorruptError
from overlap.export.request import KINDS, Kind
from overlap.io.location import Location
from overlap.io.workspace_paths import EnsemblePaths
from overlap.system.child_process import child_main
from overlap.training.spec import records_of

TOLERANCE = 1e-3
"""Largest accepted difference of a probability; a file that exceeds it is not written."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def write_export(location: Location, kind: Kind, out: Location) -> dict[str, float | None]:
    """Write an ensemble to a file after comparing it with the pipeline.

    Args:
        location: Record of the ensemble.
        kind: Format of the file.
        out: The file.

    Returns:
        `bytes`, the size of the file, and `difference`, the largest difference between its
        probabilities and the pipeline's (None if they could not be compared).

    Raises:
        CorruptError: the probabilities differ by more than `TOLERANCE` (`export-differs`); nothing
            is written.
    """
    from overlap.export import network as networks  # after the backend is chosen
    from overlap.training.saved import load_networks

    record = load_ensemble(location)
    owner = EnsemblePaths.of_record(location).workspace
    trained = records_of(owner, record.members)
    features = trained[0].spec.features
    members = load_networks(owner, trained)
    clips = networks.comparison_signals(features)
    expected = networks.pipeline_probabilities(features, members, record.fitted, clips)
    network = networks.ensemble_network(record, features, members)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"model.{kind}"
        predict = _save_keras(network, path) if kind == "keras" else _save_onnx(network, path)
        difference = None
        if predict is not None:
            difference = float(np.abs(predict(clips) - expected).max())
            if not difference <= TOLERANCE:
                raise CorruptError(
                    f"the {kind} file differs from the pipeline by {difference:.2g}, more than "
                    f"{TOLERANCE:g}; nothing is written",
                    code="export-differs",
                    difference=difference,
                    limit=TOLERANCE,
                )
        content = path.read_bytes()
    out.write_bytes(content)
    return {"bytes": len(content), "difference": difference}


def _save_keras(network, path: Path) -> Predict:  # type: ignore[no-untyped-def]  # noqa: ANN001
    from overlap.training.keras_import import keras

    network.save(path)
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda clips: np.asarray(loaded.predict(clips, verbose=0))


def _save_onnx(network, path: Path) -> Predict | None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Convert the network, add its metadata, and open it with onnxruntime if that is installed."""
    import onnx

    from overlap.export.network import network_metadata
    from overlap.training.keras_import import keras

    spec = keras.InputSpec("float32", (None, network.input_shape[1]), name="samples")
    network.export(path, format="onnx", input_signature=[spec], verbose=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, network_metadata(network))
    _name_output(model.graph, "probabilities")
    onnx.save(model, path)
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda clips: np.asarray(session.run(None, {"samples": clips})[0])


def _name_output(graph: Any, name: str) -> None:  # noqa: ANN401  onnx publishes no types
    """Rename the only output, which the converter names Identity:0."""
    (output,) = graph.output
    for node in graph.node:
        node.output[:] = [name if one == output.name else one for one in node.output]
    output.name = name


def main() -> int:
    """Export the ensemble named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Location.of)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Location.of)
    arguments = parser.parse_args()
    # An accelerator may compute float32 convolutions less precisely, and may be busy training.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if arguments.kind == "onnx":
        os.environ["KERAS_BACKEND"] = "tensorflow"  # tf2onnx converts TensorFlow only
    return child_main(
        lambda emit: emit(write_export(arguments.record, arguments.kind, arguments.out))
    )


if __name__ == "__main__":
    sys.exit(main())
