"""The space of `overlap tune`: ranges from the fields' bounds, options of users, configurations."""

from pathlib import Path

import pytest

from overlap.config import RunConfig
from overlap.config.loading import configure
from overlap.errors import ConfigError
from overlap.tuning.best import best_toml
from overlap.tuning.fields import FIXED, allowed, searchable
from overlap.tuning.space import Dimension, applied, default_space, parse_space, setting_of, stored

BASE = RunConfig(data="D")


def dimension(text: str) -> Dimension:
    (found,) = parse_space([text], BASE)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("network.dropout", Dimension("network.dropout", 0, 0.999)),
        ("network.width", Dimension("network.width", 0.016, 16)),
        ("training.augment.masks", Dimension("training.augment.masks", 0, 8, whole=True)),
        ("training.whole_batches", Dimension("training.whole_batches", choices=(False, True))),
        (
            "training.optimizer",
            Dimension("training.optimizer", choices=("nadam", "adamw", "lion", "muon")),
        ),
    ],
)
def test_a_range_follows_from_the_bounds_of_the_field(text: str, expected: Dimension) -> None:
    assert dimension(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "training.learning_rate=1e-4:1e-2:log",
            Dimension("training.learning_rate", 1e-4, 1e-2, log=True),
        ),
        ("training.batch_size=8:64", Dimension("training.batch_size", 8, 64, whole=True)),
        ("network.width=0.25,0.5", Dimension("network.width", choices=(0.25, 0.5))),
        (
            "network.input_pool=[2,2],[4,4]",
            Dimension("network.input_pool", choices=("[2, 2]", "[4, 4]")),
        ),
    ],
)
def test_an_option_gives_the_range(text: str, expected: Dimension) -> None:
    assert dimension(text) == expected
    assert dimension(expected.text) == expected


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("training.batch_size", "no-range"),
        ("network.input_pool", "no-range"),
        ("training.epochs=3:9", "not-searchable"),
        ("network.stages=1,2", "not-searchable"),
        ("features.n_mels=32,64", "not-searchable"),
        ("validation.folds=3:9", "not-searchable"),
        ("training.rate=1:2", "not-searchable"),
        ("network.dropout=0:2", "out-of-bounds"),
        ("training.optimizer=nadam,sgd", "out-of-bounds"),
        ("network.dropout=0.3:0.1", "malformed-search"),
        ("network.dropout=0.3", "malformed-search"),
        ("training.weight_decay=0:1:log", "malformed-search"),
        ("training.batch_size=0.5:8", "malformed-search"),
        ("network.dropout=0:0.5:linear", "malformed-search"),
        ("network.input_pool=[200,2],[4,4]", "invalid-value"),
    ],
)
def test_other_options_are_refused(text: str, code: str) -> None:
    with pytest.raises(ConfigError) as caught:
        dimension(text)
    assert caught.value.code == code


def test_a_refusal_names_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match="at least 0 and below 1") as caught:
        dimension("network.dropout=0:2")
    assert caught.value.fields["key"] == "network.dropout"
    with pytest.raises(ConfigError, match=r"training\.learning_rate") as caught:
        dimension("features.n_mels=32,64")
    assert caught.value.fields["key"] == "features.n_mels"


def test_a_setting_is_searched_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_space(["network.dropout", "network.dropout=0:0.5"], BASE)
    assert caught.value.code == "repeated-key"


def test_every_setting_of_a_training_is_searchable_or_has_a_reason() -> None:
    known = dict(searchable())
    assert known.keys().isdisjoint(FIXED)
    assert {"training.augment.mix", "network.head"} <= known.keys()
    assert all(allowed(field) for field in known.values())


@pytest.mark.parametrize("preset", ["demo", "baseline", "fast", "wide"])
def test_the_default_space_contains_every_preset(preset: str) -> None:
    config = RunConfig.model_validate({"data": "D", "preset": preset})
    space = default_space(config)
    assert all(one.contains(setting_of(config, one.key)) for one in space)
    assert parse_space([], config) == space


def test_the_values_of_a_trial_become_settings() -> None:
    space = parse_space(
        ["training.learning_rate=1e-4:1e-2:log", "network.input_pool=[2,2],[4,4]"], BASE
    )
    config = applied(
        BASE,
        {"training.learning_rate": 0.00123456, "network.input_pool": "[2, 2]"},
        space,
    )
    assert config.training.learning_rate == 0.001235
    assert config.network.input_pool == (2, 2)
    assert config.training.epochs == BASE.training.epochs
    assert stored((2, 2)) == "[2, 2]"


def test_a_run_accepts_the_best_settings_as_a_file(tmp_path: Path) -> None:
    base = RunConfig.model_validate(
        {
            "data": "D",
            "preset": "fast",
            "training": {"epochs": 7},
            "checks": {"label_format": "auto"},
        }
    )
    space = parse_space(["training.augment.mix", "network.width=0.25,0.5", "training.keep"], base)
    values = {"training.augment.mix": 0.25, "network.width": 0.5, "training.keep": "last"}
    file = tmp_path / "best.toml"
    file.write_text(best_toml(base, values, space, "a study"))
    read = configure({"data": "D"}, file)
    assert read == applied(base, values, space)
    assert "workspace" not in file.read_text()
