"""The layers of an exported ensemble against the reference, the kernel and the pool."""

import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from overlap.config import FeatureConfig, NetworkConfig, Resolution, Stage
from overlap.ensemble.pooling import Pool, pool_mean
from overlap.errors import UserError
from overlap.export.layers import Decibels, PoolShares
from overlap.export.network import about, check_clips, ensemble_network, pipeline_shares
from overlap.export.request import export_ensemble, kind_of
from overlap.features import Normalisation
from overlap.features.compute import compute_features
from overlap.io.location import Location
from overlap.training.network import build_network
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
"""Windows that are no whole number of hops, one shorter than a hop, a clip of no whole number."""
TOLERANCE_DB = FLOAT16_DB + 0.01
"""A sum over a window in float32 errs a little more than a fast transform."""


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
def test_decibels_are_the_references(config: FeatureConfig, kind: str) -> None:
    clips = sounds(config)[kind].astype(np.float32)
    assert error_db(layer_features, clips, config, np.float16) < TOLERANCE_DB


def test_decibels_of_spoken_words_are_the_kernels(spoken: np.ndarray) -> None:
    """Rounded to float16 alike: hardly a value is a step of it away."""
    assert error_db(layer_features, spoken, DEFAULT, np.float16) < TOLERANCE_DB
    kernel = compute_features(spoken, DEFAULT)
    layer = keras.ops.convert_to_numpy(Decibels(DEFAULT)(spoken))
    assert layer.dtype == kernel.dtype == np.float16
    depth = kernel.max(axis=(1, 2), keepdims=True).astype(float) - kernel
    apart = np.abs(layer.astype(float) - kernel)[depth <= 80]
    assert np.mean(apart > 0) < 0.02


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
def test_shares_are_pooled_as_the_formula_says(exponent: float, temperature: float) -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(4), (3, 20)).astype(np.float32)
    weights = np.array([1.0, 0.0, 3.0])
    layer = PoolShares(weights.tolist(), exponent, temperature)
    found = keras.ops.convert_to_numpy(layer([*shares]))
    share, wide = weights / weights.sum(), shares.astype(np.float64)
    if exponent:
        pooled = np.einsum("m,mcw->cw", share, wide**exponent) ** (1 / exponent)
    else:
        pooled = np.exp(np.einsum("m,mcw->cw", share, np.log(wide)))
    pooled **= 1 / temperature
    assert np.abs(found - pooled / pooled.sum(axis=1, keepdims=True)).max() < 1e-6


def test_the_default_pool_is_the_mean() -> None:
    shares = np.random.default_rng(0).dirichlet(np.ones(4), (5, 20)).astype(np.float32)
    found = keras.ops.convert_to_numpy(PoolShares([1.0] * 5)([*shares]))
    assert np.abs(found - pool_mean(shares)).max() < 1e-6


def test_an_exported_network_is_the_pipeline(tmp_path: Path) -> None:
    """Saved and loaded: samples to the members' mean, and it says what it is."""
    features = FeatureConfig(clip_seconds=0.2, n_mels=16, resolutions=DEFAULT.resolutions[:2])
    network = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
    constants = Normalisation((-80.0, -80.0), (-50.0, -50.0), (15.0, 15.0))
    members = [build_network(network, features.shape, 4, constants) for _ in range(2)]
    clips = check_clips(features)
    pool = Pool("greedy", weights=(0.8, 0.2))
    expected = pipeline_shares(features, members, pool, clips)
    record = published("20260102-030405-ffffffff").model_copy(update={"fitted": pool})
    whole = ensemble_network(record, features, members)
    whole.save(tmp_path / "m.keras")
    again = keras.saving.load_model(tmp_path / "m.keras", compile=False, safe_mode=True)
    assert np.abs(again.predict(clips, verbose=0) - expected).max() < 1e-4
    assert (tmp_path / "m.keras").stat().st_size < 400_000  # no filters in it
    assert about(again) == {
        "version": "20260102-030405-ffffffff",
        "words": '["a", "b", "c", "d"]',
        "rate_hz": "16000",
        "clip_samples": "3200",
    }


def test_the_format_is_the_endings() -> None:
    assert kind_of("a/b.KERAS") == "keras"
    assert kind_of("s3://bucket/x.onnx") == kind_of("x", "onnx") == "onnx"
    with pytest.raises(UserError, match=r"ends in \.keras or \.onnx"):
        kind_of("model.h5")
    with pytest.raises(UserError, match="its ending says keras, but --format says onnx"):
        kind_of("model.keras", "onnx")
    with pytest.raises(UserError, match="keras|onnx"):
        kind_of("model.keras", "h5")


def test_what_cannot_be_exported(workspace: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    publish_record(workspace, published("v1"))
    with pytest.raises(UserError, match="no ensemble v9"):
        export_ensemble(workspace, "v9", workspace / "m.keras", "keras")
    with pytest.raises(UserError, match="is a folder; name a file in it"):
        export_ensemble(workspace, "v1", workspace, "keras")
    monkeypatch.setattr("overlap.export.request.find_spec", lambda _name: None)
    with pytest.raises(UserError, match=r"not installed.*\[onnx\]"):
        export_ensemble(workspace, "v1", workspace / "m.onnx", "onnx")


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
