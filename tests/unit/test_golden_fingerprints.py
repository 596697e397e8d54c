"""Fingerprints of earlier releases: stored results are found by them, so none may ever change."""

import json

import numpy as np
import pandas as pd
import pytest

from overlap.catalog import Catalog
from overlap.config import (
    FeatureConfig,
    NetworkConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
    fingerprint,
)
from overlap.features.store.blocks import split_blocks
from overlap.features.store.metadata import attributes_checksum
from overlap.training.spec import MemberSpec

STORED = {
    "rate_hz": 8000,
    "clip_seconds": 0.25,
    "hop": 80,
    "mels": 16,
    "fmin_hz": 50.0,
    "fmax_hz": 3500.0,
    "resolutions": [{"n_fft": 128, "win_length": 100}],
}
"""A feature configuration as records and stores hold it; the order of the keys counts."""
OTHER = FeatureConfig.from_stored(STORED)


def spec(features: FeatureConfig) -> MemberSpec:
    """A member with the default network."""
    return MemberSpec(
        seed=3,
        fold=1,
        features=features,
        network=NetworkConfig(),
        training=TrainingConfig(epochs=2),
        validation=ValidationConfig(),
        floor_db=(-80.0,),
        mean_db=(-40.5,),
        std_db=(12.25,),
        words=("no", "yes"),
        chunk_clips=8,
        training_key=2 * "0123456789abcdef",
    )


@pytest.fixture
def catalog() -> Catalog:
    """Three clips."""
    clips = pd.DataFrame(
        {
            "clip_id": ["a", "b", "c"],
            "split": ["train", "train", "test"],
            "digest": [32 * "1", 32 * "2", 32 * "3"],
            "state": 3 * ["ok"],
            "file": ["a.wav", "b.wav", "c.wav"],
            "group": ["g", "h", ""],
        }
    )
    labels = np.array([[0.5, 0.5], [1, 0], [np.nan, np.nan]])
    return Catalog("D", OTHER.clip_format, ("no", "yes"), clips, labels)


def test_features() -> None:
    assert fingerprint(FeatureConfig()) == "576f542125a92339"
    assert fingerprint(OTHER) == "370ee38eee0359fc"


def test_members() -> None:
    assert spec(FeatureConfig()).fingerprint == "4a6f267468fef5fc"
    assert spec(OTHER).fingerprint == "d15d920ba78d9394"


def test_blocks_and_catalogue(catalog: Catalog) -> None:
    assert [block.key for block in split_blocks(catalog, 2, OTHER)] == [
        "4611d6947ccda932349f803d06627bb3",
        "1ffce2f1f42b88ea66f3c102c7f30708",
    ]
    assert catalog.key(slice(0, 2), labels=True) == "6a1935fe25e5eff5665c55db4f2314b6"
    assert catalog.key(slice(0, 3)) == "88d9b6adba3a8bedace1ce2fe5874780"


def test_attributes_of_the_store() -> None:
    about = {"features": OTHER.model_dump(mode="json"), "block_clips": 16}
    assert attributes_checksum(about) == "4ec3479e35fa742c"


@pytest.mark.parametrize(
    ("preset", "expected"),
    [("demo", "15857ea155ec19a9"), ("baseline", "c3e02b25f214908c"), ("fast", "38a10a74ba7916d1")],
)
def test_whole_runs(preset: str, expected: str) -> None:
    assert fingerprint(RunConfig.model_validate({"data": "D", "preset": preset})) == expected


def test_a_run_with_other_features() -> None:
    network = {"stages": [{"kind": "plain", "filters": 2}], "input_pool": [2, 2]}
    run = RunConfig.model_validate({"data": "D", "features": OTHER, "network": network})
    assert fingerprint(run) == "8c867334c9d5aae8"


def test_the_stored_form_of_features_keeps_its_keys_in_their_order() -> None:
    assert json.dumps(OTHER.model_dump(mode="json")) == json.dumps(STORED)
    assert json.loads(OTHER.model_dump_json()) == STORED
    assert spec(OTHER).model_dump(mode="json")["features"] == STORED
