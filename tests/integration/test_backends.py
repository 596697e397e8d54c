"""Keras's other backends: the same networks, the same files, the same members."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from overlap.catalog import Catalog
from overlap.config import NetworkConfig, RunConfig, Stage
from overlap.features import FeatureStore, Normalisation
from overlap.io.location import Location
from overlap.io.workspace_paths import SPEC_FILE
from overlap.system.child_process import run_child
from overlap.training.network import build_network
from overlap.training.spec import load_record, plan_members

pytestmark = pytest.mark.nightly
OTHERS = [name for name in ("jax", "torch") if importlib.util.find_spec(name)]
PREDICT = """
import sys
import keras, numpy as np
import overlap.training.network  # registers the layers
decibels, model, out = sys.argv[1:]
network = keras.saving.load_model(model, compile=False, safe_mode=True)
np.save(out, network.predict(np.load(decibels), verbose=0))
network.save(out + ".keras")
"""


def elsewhere(backend: str, *arguments: object) -> None:
    subprocess.run(
        [sys.executable, "-c", PREDICT, *map(str, arguments)],
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}, check=True,
    )  # fmt: skip


@pytest.mark.parametrize("backend", OTHERS)
@pytest.mark.parametrize("subset", [None, 2])
def test_weights_written_under_one_backend_load_under_another(
    tmp_path: Path, backend: str, subset: int | None
) -> None:
    constants = Normalisation((-70.0, -60.0), (-30.0, -30.0), (15.0, 15.0))
    stages = (Stage(kind="plain", filters=4), Stage(kind="bottleneck", filters=8))
    network = build_network(
        NetworkConfig(stages=stages, dense=8), (8, 9, 2), 5, constants, subset
    ).model
    decibels = np.random.default_rng(0).uniform(-80, 0, (6, 8, 9, 2)).astype(np.float16)
    np.save(tmp_path / "decibels.npy", decibels)
    network.save(tmp_path / "here.keras")
    there = tmp_path / "there.npy"
    elsewhere(backend, tmp_path / "decibels.npy", tmp_path / "here.keras", there)
    expected = network.predict(decibels, verbose=0)
    assert np.abs(np.load(there) - expected).max() < 1e-5
    back = keras.saving.load_model(f"{there}.keras", compile=False, safe_mode=True)
    assert np.array_equal(back.predict(decibels, verbose=0), expected)


@pytest.mark.parametrize("backend", OTHERS)
def test_a_member_trains_on_another_backend(
    backend: str, config: RunConfig, ready: tuple[Catalog, FeatureStore]
) -> None:
    recipe = {
        "average_epochs": 0.5,
        "optimizer": "adamw",
        "augment": {"shift_frames": 4, "mix": 0.5},
    }
    wanted = RunConfig.model_validate(
        config.model_dump()
        | {
            "training": config.training.model_dump() | recipe,
            "network": config.network.model_dump() | {"head": "auto"},
        }
    )
    spec, workspace = plan_members(wanted, *ready)[0], Location.of(config.workspace)
    assert spec.subset == 2
    folder = spec.folder(workspace)
    (folder / SPEC_FILE).write_record(spec)
    events: list[dict[str, Any]] = []
    run_child(
        "overlap.training.member",
        [str(workspace), spec.fingerprint],
        events.append,
        extra={"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
    )
    record = load_record(folder)
    assert record is not None, json.dumps(events)
    assert "cpu" in record.device.lower()
    assert len(record.history) == 3
    assert backend in record.software
    assert record.held_out_kl == pytest.approx(record.history[-1]["held_out_kl"], rel=1e-4)
