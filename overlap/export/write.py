"""An ensemble to one file: `python -m overlap.export.write RECORD keras|onnx OUT`.

RECORD is an ensemble's record in its workspace. In a process of its own, for the reasons given in
`overlap.training.member`. The file is compared with the pipeline before it is put in its place.
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
from overlap.system.worker_process import child_main
from overlap.training.spec import records_of

TOLERANCE = 1e-3
"""A file whose probabilities differ by more is not written."""

Predict = Callable[[NDArray[np.float32]], NDArray[np.float32]]


def write_export(location: Location, kind: Kind, out: Location) -> dict[str, float | None]:
    """Write the file; how large it is, and how far it is from the pipeline.

    Args:
        location: The ensemble's record.
        kind: Format of the file.
        out: The file.

    Raises:
        CorruptError: the file does not give what the pipeline gives; it is not written.
    """
    from overlap.export import network as networks  # not before the backend is chosen
    from overlap.training.saved import load_networks

    record = load_ensemble(location)
    owner = EnsemblePaths.of_record(location).workspace
    trained = records_of(owner, record.members)
    features = trained[0].spec.features
    members = load_networks(owner, trained)
    clips = networks.check_clips(features)
    expected = networks.pipeline_shares(features, members, record.fitted, clips)
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
                    f"{TOLERANCE:g}; {out} is not written"
                )
        content = path.read_bytes()
    out.write_bytes(content)
    return {"bytes": len(content), "difference": difference}


def _save_keras(network, path: Path) -> Predict:  # type: ignore[no-untyped-def]  # noqa: ANN001
    import keras

    network.save(path)
    loaded = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda clips: np.asarray(loaded.predict(clips, verbose=0))


def _save_onnx(network, path: Path) -> Predict | None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    """Convert, add what the network says of itself, and open it with onnxruntime if it is there."""
    import keras
    import onnx

    from overlap.export.network import about

    spec = keras.InputSpec("float32", (None, network.input_shape[1]), name="samples")
    network.export(path, format="onnx", input_signature=[spec], verbose=False)
    model = onnx.load(path)
    onnx.helper.set_model_props(model, about(network))
    _name_output(model.graph, "probabilities")
    onnx.save(model, path)
    if find_spec("onnxruntime") is None:
        return None
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda clips: np.asarray(session.run(None, {"samples": clips})[0])


def _name_output(graph: Any, name: str) -> None:  # noqa: ANN401  onnx publishes no types
    """Give the only output a name that says what it is; the converter's is Identity:0."""
    (output,) = graph.output
    for node in graph.node:
        node.output[:] = [name if made == output.name else made for made in node.output]
    output.name = name


def main() -> int:
    """Export the ensemble named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("record", type=Location.of)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("out", type=Location.of)
    arguments = parser.parse_args()
    # An accelerator may compute a float32 convolution with fewer digits, and is busy training.
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    if arguments.kind == "onnx":
        os.environ["KERAS_BACKEND"] = "tensorflow"  # what tf2onnx converts
    return child_main(
        lambda emit: emit(write_export(arguments.record, arguments.kind, arguments.out))
    )


if __name__ == "__main__":
    sys.exit(main())
