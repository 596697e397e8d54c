"""Fingerprints of earlier releases: stored results are found by them, so none may ever change."""

import json
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import pytest
from pydantic import BaseModel

from overlap.catalog import Catalog
from overlap.config import (
    ConfigModel,
    FeatureConfig,
    LaterField,
    NetworkConfig,
    RunConfig,
    TrainingConfig,
    ValidationConfig,
    fingerprint,
    later_fields,
)
from overlap.features.store.blocks import split_blocks
from overlap.features.store.metadata import attributes_checksum
from overlap.training.spec import MemberSpec
from support.trials import trial

TESTS = Path(__file__).resolve().parents[1]
FIRST_FIELDS = json.loads((TESTS / "fixtures" / "fields-0.1.0.json").read_text("utf-8"))
"""The fields of every hashed model in 0.1.0, under today's names."""
TRAINED_AGAIN: dict[str, str] = {}
"""Release after 0.1.0 that trains members again: the sentence of CHANGELOG.md that says why. Only
an entry here allows a changed fingerprint below."""

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
    [
        ("demo", "15857ea155ec19a9"),
        ("baseline", "c3e02b25f214908c"),
        ("fast", "38a10a74ba7916d1"),
        ("wide", "e9c7e50a7d2bd2a7"),
    ],
)
def test_whole_runs(preset: str, expected: str) -> None:
    """Under the conditions of 0.1.0, which promoted without a look at the trivial prediction."""
    values = {"data": "D", "preset": preset, "promotion": {"better_than_trivial": "ignored"}}
    assert fingerprint(RunConfig.model_validate(values)) == expected


def test_a_run_with_other_features() -> None:
    network = {"stages": [{"kind": "plain", "filters": 2}], "input_pool": [2, 2]}
    run = RunConfig.model_validate({"data": "D", "features": OTHER, "network": network})
    ignored = run.promotion.model_copy(update={"better_than_trivial": "ignored"})
    assert fingerprint(run.model_copy(update={"promotion": ignored})) == "8c867334c9d5aae8"


def test_the_stored_form_of_features_keeps_its_keys_in_their_order() -> None:
    assert json.dumps(OTHER.model_dump(mode="json")) == json.dumps(STORED)
    assert json.loads(OTHER.model_dump_json()) == STORED
    assert spec(OTHER).model_dump(mode="json")["features"] == STORED


def test_how_a_member_is_computed_does_not_name_it() -> None:
    """Memory, steps per call and backend: the member of another setting is not trained again."""
    training = TrainingConfig(epochs=2, backend="jax", memory_gb=1, device_gb=0, steps_per_call=4)
    one = spec(OTHER)
    assert one.model_copy(update={"training": training}).fingerprint == one.fingerprint


def models(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    """Yield a model and the models of its fields."""
    yield model
    for field in model.model_fields.values():
        waiting: list[object] = [field.annotation]
        while waiting:
            one = waiting.pop()
            if isinstance(one, type) and issubclass(one, BaseModel):
                yield from models(one)
            waiting += typing.get_args(one)


HASHED = {model.__name__: model for top in (RunConfig, MemberSpec) for model in models(top)}


@trial(
    "U",
    "a release adds a setting",
    source="own",
    before="every member was trained again, 142 GPU hours for the known task",
    now="a fingerprint leaves the setting out at the value that stands for the earlier behaviour",
)
@pytest.mark.parametrize("name", sorted(HASHED))
def test_fields_are_those_of_the_first_release_or_later_ones(name: str) -> None:
    model = HASHED[name]
    later = later_fields(model)
    if name in FIRST_FIELDS:
        assert {*model.model_fields} - {*later} == {*FIRST_FIELDS[name]}
    for field, mark in later.items():
        info = model.model_fields[field]
        assert not info.is_required(), field
        if not issubclass(model, ConfigModel):  # a record without the field has its default
            assert info.get_default(call_default_factory=True, validated_data={}) == mark.value


class Later(ConfigModel):
    """A section of a later release."""

    old: int = 1
    new: Annotated[int, LaterField(2)] = 3
    """Its default has changed since it was introduced."""


class Whole(ConfigModel):
    """A configuration with such sections."""

    part: Later = Later()
    parts: tuple[Later, ...] = ()


class First(ConfigModel):
    """The section before."""

    old: int = 1


class FirstWhole(ConfigModel):
    """The configuration before."""

    part: First = First()
    parts: tuple[First, ...] = ()


def test_a_later_field_counts_from_its_second_value_on() -> None:
    before = fingerprint(FirstWhole(parts=(First(old=5),)))
    same = Whole(part=Later(new=2), parts=(Later(old=5, new=2),))
    assert fingerprint(same) == before
    assert fingerprint(Whole(part=Later(), parts=same.parts)) != before
    assert fingerprint(Whole(part=same.part, parts=(Later(old=5),))) != before


def test_what_was_stored_without_a_later_field_has_its_first_value() -> None:
    assert Later.from_stored({"old": 1}) == Later(old=1, new=2)
    assert Later.from_stored({"old": 1, "new": 4}).new == 4


@trial(
    "U",
    "a release trains members again",
    source="own",
    before="only a line of CHANGELOG said so",
    now="a changed fingerprint fails the tests unless CHANGELOG gives the reason",
)
def test_the_changelog_says_why_members_are_trained_again() -> None:
    text = " ".join((TESTS.parent / "CHANGELOG.md").read_text("utf-8").split())
    for release, reason in TRAINED_AGAIN.items():
        assert f"## {release}" in text
        assert reason in text
    assert TRAINED_AGAIN or spec(FeatureConfig()).fingerprint == "4a6f267468fef5fc"
