"""Exported ensembles, opened as someone else would open them: samples in, probabilities out."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from overlap.ensemble import registry
from overlap.io.location import Location

pytestmark = pytest.mark.nightly

OPEN_KERAS = """
import sys, keras, numpy, overlap.export.layers
network = keras.saving.load_model(sys.argv[1], compile=False, safe_mode=True)
numpy.save(sys.argv[3], network.predict(numpy.load(sys.argv[2]), verbose=0))
"""


@pytest.fixture(scope="module")
def clips(data: Path) -> np.ndarray:
    """(20, 16000) float32: the test clips in the order of the template."""
    ids = pd.read_csv(data / "submission.csv")["id"]
    return np.stack([soundfile.read(data / "test" / f"{i}.wav", dtype="float32")[0] for i in ids])


@pytest.fixture(scope="module")
def expected(finished) -> pd.DataFrame:
    """What the run itself predicted for them."""
    (file,) = finished.workspace.glob("ensembles/*/submission.csv")
    return pd.read_csv(file).set_index("id")


def test_onnx_needs_nothing_of_ours(
    overlap, finished, clips: np.ndarray, expected: pd.DataFrame, tmp_path: Path
) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "new" / "m.onnx"
    place = ("--workspace", finished.workspace)
    done = overlap("models", "export", "champion", *place, "--out", out, "--json")
    said = json.loads(done.stdout)
    (record,) = registry.list_ensembles(Location.of(finished.workspace))
    assert (said["version"], said["bytes"]) == (record.version, out.stat().st_size)
    assert said["difference"] < 1e-3
    session = onnxruntime.InferenceSession(out)
    about = session.get_modelmeta().custom_metadata_map
    assert about["version"] == record.version
    assert json.loads(about["words"]) == [*record.words] == [*expected.columns]
    assert (about["rate_hz"], about["clip_samples"]) == ("16000", "16000")
    (found,) = session.run(["probabilities"], {"samples": clips})
    assert np.abs(found - expected.to_numpy()).max() < 1e-3


def test_keras_needs_the_layers_alone(
    overlap, finished, clips: np.ndarray, expected: pd.DataFrame, tmp_path: Path
) -> None:
    """To a URL's kind of address, said in words; opened in a process that has seen nothing else."""
    out = tmp_path / "m.keras"
    (record,) = registry.list_ensembles(Location.of(finished.workspace))
    place = ("--workspace", finished.workspace)
    done = overlap("models", "export", record.version, *place, "--out", f"file://{out}")
    assert record.version in done.stdout
    assert "import overlap.export.layers" in done.stdout
    assert "from the pipeline's probabilities" in done.stdout
    np.save(tmp_path / "clips.npy", clips)
    files = [out, tmp_path / "clips.npy", tmp_path / "found.npy"]
    command = [sys.executable, "-c", OPEN_KERAS, *map(str, files)]
    opened = subprocess.run(command, capture_output=True, text=True, timeout=200, check=False)
    assert opened.returncode == 0, opened.stderr
    found = np.load(tmp_path / "found.npy")
    assert np.abs(found - expected.to_numpy()).max() < 1e-3
