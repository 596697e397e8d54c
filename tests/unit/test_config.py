from pathlib import Path

import pytest
from pydantic import ValidationError

from overlap.config import FeatureConfig, RunConfig, StoreConfig, fingerprint
from overlap.config.loading import configure
from overlap.errors import ConfigError


def test_preset_supplies_what_is_not_given() -> None:
    config = RunConfig(data="D", preset="demo", training={"epochs": 3})
    assert config.training.epochs == 3
    assert config.training.batch_size == 32
    assert config.ensemble.members == 3


def test_baseline_is_the_known_solution() -> None:
    config = RunConfig(data="D", preset="baseline")
    training = config.training
    assert (training.epochs, training.batch_size, training.learning_rate) == (187, 16, 0.002)
    assert (training.optimizer, training.schedule) == ("nadam", "constant")
    assert training.normalisation == "joint"
    assert (config.validation.holdout, config.validation.folds) == (0, 0)
    assert config.ensemble.members == 15
    assert config.features.shape == (64, 101, 4)
    assert [(r.n_fft, r.win_length) for r in config.features.resolutions] == [
        (256, 200),
        (512, 400),
        (1024, 800),
        (2048, 1600),
    ]


def test_a_dumped_configuration_gives_itself() -> None:
    config = RunConfig(data="D", preset="baseline", training={"epochs": 7})
    assert RunConfig.model_validate(config.model_dump(mode="json")) == config


def test_later_sources_win(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[training]\nepochs = 5\nbatch_size = 64\n[ensemble]\nmembers = 9\n")
    config = configure(
        {"data": "D", "ensemble": {"members": 2}}, file, ["training.epochs=6", "preset=baseline"]
    )
    assert (config.training.epochs, config.training.batch_size) == (6, 64)
    assert config.ensemble.members == 2
    assert config.training.normalisation == "joint"


@pytest.mark.parametrize(
    ("name", "text"),
    [("a.yaml", "training:\n  epochs: 4\n"), ("a.json", '{"training":{"epochs":4}}')],
)
def test_other_file_formats(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert configure({"data": "D"}, tmp_path / name).training.epochs == 4


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("training.epoch=3", "training.epoch: no such key; did you mean epochs?"),
        ("trainin.epochs=3", "trainin: no such key; did you mean training?"),
        ("training.epochs=0", "training.epochs: Input should be greater than or equal to 1"),
        ("training.epochs=many", "training.epochs: Input should be a valid integer"),
        ("training.learning_rate=.nan", "training.learning_rate"),
        ("preset=quick", "preset: Input should be 'demo', 'baseline' or 'fast'"),
        ("validation.folds=1", "one fold would leave nothing to train on"),
        ("validation.folds=2", "ensemble.members 3 is not a whole number of rounds"),
        ("store.block_clips=100", "not a whole number of chunks"),
        ("ensemble.min_members=4", "ensemble.min_members 4 is more than ensemble.members 3"),
        ("features.fmax_hz=9000", "fmax_hz 9000.0 is above half the rate"),
        ("features.mels=8", "halve 8 mel bands"),
        ("network.stages=[]", "network.stages"),
        ("epochs", "is not of the form section.key=value"),
        ("training..epochs=3", "is not of the form section.key=value"),
        ("training=[", "cannot be read"),
    ],
)
def test_mistakes_are_named(assignment: str, message: str) -> None:
    with pytest.raises(ConfigError, match=r".") as error:
        configure({"data": "D"}, None, [assignment])
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("ensemble", "message"),
    [
        ({"pool": "greedy"}, "ensemble.pool greedy: is fitted, which needs held-out clips"),
        ({"stop_when_gain_below": 0.01}, "stop_when_gain_below: is a held-out KL, which needs"),
    ],
)
def test_what_needs_held_out_clips_is_refused_without(ensemble: dict, message: str) -> None:
    """The baseline holds nothing out."""
    with pytest.raises(ConfigError) as error:
        configure({"data": "D", "preset": "baseline", "ensemble": ensemble})
    assert message in str(error.value)
    assert "set validation.holdout or validation.folds" in str(error.value)
    held_out = {"preset": "baseline", "validation": {"holdout": 0.1}}
    assert configure({"data": "D", "ensemble": ensemble, **held_out}).ensemble
    assert configure({"data": "D", "preset": "baseline", "ensemble": {"pool": "auto"}}).ensemble


def test_enough_members_are_at_least_a_round() -> None:
    folds = {"validation": {"holdout": 0, "folds": 5}}
    with pytest.raises(ConfigError, match="less than one round of validation.folds 5"):
        configure({"data": "D", **folds, "ensemble": {"members": 10, "min_members": 4}})


def test_every_mistake_is_in_one_message() -> None:
    with pytest.raises(ConfigError) as error:
        configure({}, None, ["training.epochs=0", "ensemble.pol=mean"])
    text = str(error.value)
    assert "data: is missing" in text
    assert "training.epochs" in text
    assert "did you mean pool?" in text


@pytest.mark.parametrize(
    ("name", "content"), [("a.toml", "x = "), ("a.json", "{"), ("a.yaml", "- 1\n- 2\n")]
)
def test_unreadable_file(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with pytest.raises(ConfigError, match=name):
        configure({"data": "D"}, file)
    with pytest.raises(ConfigError, match="no such configuration file"):
        configure({"data": "D"}, tmp_path / "missing.toml")


def test_models_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        StoreConfig(chunk=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        FeatureConfig().hop = 1  # type: ignore[misc]


def test_fingerprint_depends_on_content_alone() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(FeatureConfig()) == fingerprint(FeatureConfig())
    assert fingerprint(FeatureConfig()) != fingerprint(FeatureConfig(hop=80))
    assert fingerprint("a", "b") != fingerprint("ab")
