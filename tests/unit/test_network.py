"""The network: size, normalisation, predictions, saving and loading."""

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from overlap.config import NetworkConfig, RunConfig, Stage
from overlap.errors import CorruptError
from overlap.features import Normalisation
from overlap.io.location import Location
from overlap.io.workspace_paths import MODEL_FILE
from overlap.training.layers import Normalise
from overlap.training.network import build_network, statistics_momentum
from overlap.training.saved import load_network, save_network

TINY = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
CONSTANTS = Normalisation((-60.0, -50.0), (-30.0, -20.0), (10.0, 5.0))


def constants(resolutions: int) -> Normalisation:
    return Normalisation((-60.0,) * resolutions, (-30.0,) * resolutions, (10.0,) * resolutions)


def test_the_reference_network_has_the_known_size() -> None:
    network = build_network(NetworkConfig(), (64, 101, 4), 30, constants(4)).model
    assert network.count_params() == 1_914_686


def test_the_preset_demo_builds_a_small_network() -> None:
    config = RunConfig(data="D", preset="demo").network
    network = build_network(config, (64, 101, 4), 9, constants(4)).model
    assert network.output_shape == (None, 9)
    assert network.count_params() < 500_000


def test_normalisation_is_a_clipped_z_score() -> None:
    decibels = np.random.default_rng(0).uniform(-100, 0, (3, 4, 5, 2)).astype(np.float16)
    found = keras.ops.convert_to_numpy(Normalise.of(CONSTANTS)(decibels))
    clipped = np.maximum(decibels.astype(np.float64), [-60, -50])
    assert np.abs(found - (clipped - [-30, -20]) / [10, 5]).max() < 1e-5


def test_predictions_are_distributions() -> None:
    config = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
    network = build_network(config, (8, 9, 2), 5, CONSTANTS).model
    decibels = np.random.default_rng(0).uniform(-100, 0, (6, 8, 9, 2)).astype(np.float16)
    found = network.predict(decibels, verbose=0)
    assert found.dtype == np.float32
    assert np.abs(found.sum(axis=1) - 1).max() < 1e-6
    assert (found > 0).all()


def test_a_saved_network_needs_no_other_file(tmp_path: Path) -> None:
    config = NetworkConfig(
        stages=(Stage(kind="plain", filters=4), Stage(kind="bottleneck", filters=8)), dense=8
    )
    network = build_network(config, (8, 9, 2), 5, CONSTANTS).model
    decibels = np.random.default_rng(0).uniform(-100, 0, (6, 8, 9, 2)).astype(np.float16)
    network.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False, safe_mode=True)
    assert np.array_equal(loaded.predict(decibels, verbose=0), network.predict(decibels, verbose=0))


def test_a_flipped_bit_in_the_weights_is_detected(tmp_path: Path) -> None:
    config = NetworkConfig(stages=(Stage(kind="plain", filters=4),), dense=8)
    network, folder = build_network(config, (8, 9, 2), 5, CONSTANTS).model, Location(str(tmp_path))
    save_network(network, folder)
    file = tmp_path / MODEL_FILE
    record = SimpleNamespace(files={MODEL_FILE: (folder / MODEL_FILE).digest()})
    assert load_network(folder, record).count_params() == network.count_params()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)
    for change in (lambda: None, file.unlink):
        change()
        with pytest.raises(CorruptError, match="`overlap verify --repair`") as caught:
            load_network(folder, record)
        assert caught.value.fields["path"] == str(file)


@pytest.mark.parametrize("kind", ["plain", "bottleneck"])
def test_width_scales_the_filters(kind: str) -> None:
    def size(width: float) -> int:
        config = NetworkConfig(stages=(Stage(kind=kind, filters=32),), width=width)
        return build_network(config, (8, 9, 2), 5, CONSTANTS).model.count_params()

    assert size(0.5) < size(1) < size(2)


@pytest.mark.extended
def test_loading_a_network_registers_its_layers(tmp_path: Path) -> None:
    """A process that has not built a network can load one."""
    network, folder = build_network(TINY, (8, 9, 2), 5, CONSTANTS).model, Location(str(tmp_path))
    save_network(network, folder)
    load = (
        "import sys\n"
        "from types import SimpleNamespace\n"
        "from overlap.io.location import Location\n"
        "from overlap.training.saved import load_network\n"
        "record = SimpleNamespace(files={'model.keras': sys.argv[2]})\n"
        "print(load_network(Location(sys.argv[1]), record).count_params())\n"
    )
    digest = str((folder / MODEL_FILE).digest())
    done = subprocess.run(
        [sys.executable, "-c", load, str(tmp_path), digest],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.split()[-1:] == [str(network.count_params())], done.stderr[-2000:]


@pytest.mark.parametrize("steps", [0, 1, 4, 5, 32, 399, 400, 100_000])
def test_initial_batch_statistics_are_forgotten(steps: int) -> None:
    momentum = statistics_momentum(steps)
    assert 0 <= momentum <= 0.99
    assert momentum**steps < 0.019 or steps == 0
    assert (momentum == 0.99) == (steps >= 400)  # the longer trainings of earlier releases
