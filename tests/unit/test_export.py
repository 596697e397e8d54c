"""The layers of an exported ensemble compared with the reference, the kernel and the pools."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from overlap.config import FeatureConfig, NetworkConfig, Resolution, Stage
from overlap.ensemble.pooling import Pool, pool_mean
from overlap.errors import NotReadyError, UserError
from overlap.export.layers import Decibels, PoolShares
from overlap.export.network import (
    comparison_signals,
    ensemble_network,
    network_metadata,
    pipeline_probabilities,
)
from overlap.export.request import export_ensemble, export_format
from overlap.features import Normalisation
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.training.network import build_network
from support.errors import raises
from support.feature_accuracy import FLOAT16_DB, error_db
from support.run_steps import publish_record, published

DEFAULT = FeatureConfig()
OTHER = FeatureConfig(
    sample_rate=8000, clip_seconds=0.53, hop_length=70, n_mels=11, fmin_hz=50, fmax_hz=3500,
    resolutions=(
        Resolution(n_fft=256, win_length=201), Resolution(n_fft=512, win_length=512),
        Resolution(n_fft=64, win_length=33),
    ),
)  # fmt: skip
"""Neither the windows nor the clip are a multiple of the hop; one window is shorter than a hop."""
TOLERANCE_DB = FLOAT16_DB + 0.01
"""A sum over a window in float32 has a slightly larger error than a fast Fourier transform."""


def layer_features(clips: np.ndarray, config: FeatureConfig, out: np.ndarray) -> None:
    out[:] = keras.ops.convert_to_numpy(Decibels(config)(clips))


def sounds(config: FeatureConfig) -> dict[str, np.ndarray]:
    random = np.random.default_rng(1)
    shape = (3, config.clip_samples)
    return {
        "noise": random.normal(size=shape) * 0.1,
        "quiet": random.normal(size=shape) * 1e-5,
        "silence": np.zeros(shape),
        "tone": 0.9 * np.sin(np.arange(config.clip_samples) * np.full((3, 1), 0.3)),
    }


@pytest.mark.parametrize("config", [DEFAULT, OTHER], ids=["default", "other"])
@pytest.mark.parametrize("kind", ["noise", "quiet", "silence", "tone"])
def test_decibels_equal_the_reference(config: FeatureConfig, kind: str) -> None:
    clips = sounds(config)[kind].astype(np.float32)
    assert error_db(layer_features, clips, config, np.float16) < TOLERANCE_DB


def test_decibels_of_speech_equal_the_kernel(spoken: np.ndarray) -> None:
    """Less than 2 % of the values differ, by a step of float16."""
    assert error_db(layer_features, spoken, DEFAULT, np.float16) < TOLERANCE_DB
    kernel = compute_features(spoken, DEFAULT)
    layer = keras.ops.convert_to_numpy(Decibels(DEFAULT)(spoken))
    assert layer.dtype == kernel.dtype == np.float16
    depth = kernel.max(axis=(1, 2), keepdims=True).astype(float) - kernel
    difference = np.abs(layer.astype(float) - kernel)[depth <= 80]
    assert np.mean(difference > 0) < 0.02


def test_a_layer_is_rebuilt_from_its_configuration() -> None:
    clips = sounds(OTHER)["noise"].astype(np.float32)
    layer = Decibels(OTHER)
    again = Decibels.from_config(layer.get_config())
    assert np.array_equal(*(keras.ops.convert_to_numpy(one(clips)) for one in (layer, again)))
    assert layer.weights == []
    pool = PoolShares([1, 2], exponent=0.5, temperature=1.1, words=("a", "b"))
    assert PoolShares.from_config(pool.get_config()).get_config() == pool.get_config()


@pytest.mark.parametrize("exponent", [1.0, 0.5, 0.0, -1.0])
@pytest.mark.parametrize("temperature", [1.0, 1.3])
def test_probabilities_are_pooled_by_the_formula(exponent: float, temperature: float) -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), (3, 20)).astype(np.float32)
    weights = np.array([1.0, 0.0, 3.0])
    layer = PoolShares(weights.tolist(), exponent, temperature)
    found = keras.ops.convert_to_numpy(layer([*probabilities]))
    weight, wide = weights / weights.sum(), probabilities.astype(np.float64)
    if exponent:
        pooled = np.einsum("m,mcw->cw", weight, wide**exponent) ** (1 / exponent)
    else:
        pooled = np.exp(np.einsum("m,mcw->cw", weight, np.log(wide)))
    pooled **= 1 / temperature
    assert np.abs(found - pooled / pooled.sum(axis=1, keepdims=True)).max() < 1e-6


def test_the_default_pool_is_the_mean() -> None:
    probabilities = np.random.default_rng(0).dirichlet(np.ones(4), (5, 20)).astype(np.float32)
    found = keras.ops.convert_to_numpy(PoolShares([1.0] * 5)([*probabilities]))
    assert np.abs(found - pool_mean(probabilities)).max() < 1e-6


def test_an_exported_network_equals_the_pipeline(tmp_path: Path) -> None:
    """After saving and loading, it gives the same probabilities and its metadata."""
    features = FeatureConfig(clip_seconds=0.2, n_mels=16, resolutions=DEFAULT.resolutions[:2])
    network = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
    constants = Normalisation((-80.0, -80.0), (-50.0, -50.0), (15.0, 15.0))
    members = [build_network(network, features.shape, 4, constants).model for _ in range(2)]
    clips = comparison_signals(features)
    pool = Pool("greedy", weights=(0.8, 0.2))
    expected = pipeline_probabilities(features, members, pool, clips)
    record = published("20260102-030405-ffffffff").model_copy(update={"fitted": pool})
    whole = ensemble_network(record, features, members)
    whole.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    assert np.abs(again.predict(clips, verbose=0) - expected).max() < 1e-4
    assert (tmp_path / "m.keras").stat().st_size < 400_000  # it contains no filters
    assert network_metadata(again) == {
        "version": "20260102-030405-ffffffff",
        "words": '["a", "b", "c", "d"]',
        "rate_hz": "16000",
        "clip_samples": "3200",
    }


def test_the_format_follows_the_suffix() -> None:
    assert export_format("a/b.KERAS") == "keras"
    assert export_format("s3://bucket/x.onnx") == export_format("x", "onnx") == "onnx"
    with raises(UserError, "unknown-format", format="h5"):
        export_format("model.h5")
    with raises(UserError, "format-mismatch", suffix="keras", format="onnx"):
        export_format("model.keras", "onnx")
    with raises(UserError, "unknown-format", format="h5"):
        export_format("model.keras", "h5")


def test_impossible_exports_are_refused(
    workspace: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish_record(workspace, published("v1"))
    with pytest.raises(NotReadyError, match="v9"):
        export_ensemble(workspace, "v9", workspace / "m.keras", "keras")
    with raises(UserError, "out-is-folder", out=str(workspace)):
        export_ensemble(workspace, "v1", workspace, "keras")
    monkeypatch.setattr("overlap.export.request.find_spec", lambda _name: None)
    with raises(UserError, "onnx-not-installed"):
        export_ensemble(workspace, "v1", workspace / "m.onnx", "onnx")


@pytest.mark.extended
def test_the_documented_import_registers_every_layer() -> None:
    code = (
        "import keras, overlap.export.layers\n"
        "names = ('Decibels', 'PoolShares', 'Normalise', 'SubsetShares')\n"
        "assert all(keras.saving.get_registered_object('overlap>' + name) for name in names)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_saved_layer_keeps_the_keys_of_the_first_release() -> None:
    layer = Decibels(OTHER)
    content = layer.get_config()
    assert {"rate_hz", "hop", "mels"} <= content["features"].keys()
    content["features"] = content["features"] | {"added_later": 1}
    assert Decibels.from_config(content).features == OTHER
