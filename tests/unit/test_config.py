from pathlib import Path

import pytest
from pydantic import ValidationError

from overlap.config import FeatureConfig, RunConfig, StoreConfig, fingerprint
from overlap.config.loading import configure
from overlap.errors import ConfigError
from support.errors import raises


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
    assert RunConfig.model_validate(config.model_dump()) == config
    assert RunConfig.from_stored(config.model_dump(mode="json")) == config


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
    ("assignment", "code", "key", "named"),
    [
        ("training.epoch=3", "unknown-key", "training.epoch", "epochs?"),
        ("trainin.epochs=3", "unknown-key", "trainin", "training?"),
        ("training.epochs=0", "invalid-value", "training.epochs", "1"),
        ("training.epochs=many", "invalid-value", "training.epochs", "'many'"),
        ("training.learning_rate=.nan", "invalid-value", "training.learning_rate", "nan"),
        ("preset=quick", "invalid-value", "preset", "'baseline'"),
        ("validation.folds=1", "invalid-value", "validation", "2"),
        ("validation.folds=2", "invalid-value", "", "validation.folds 2"),
        ("store.block_clips=100", "invalid-value", "store", "block_clips 100"),
        ("ensemble.min_members=4", "invalid-value", "", "ensemble.min_members 4"),
        ("features.fmax_hz=9000", "invalid-value", "features", "fmax_hz 9000.0"),
        ("features.n_mels=8", "invalid-value", "", "8 mel bands"),
        ("network.stages=[]", "invalid-value", "network.stages", "1"),
    ],
)
def test_faults_have_a_code_and_a_key(assignment: str, code: str, key: str, named: str) -> None:
    with raises(ConfigError, code, key=key, keys=(key,)) as caught:
        configure({"data": "D"}, None, [assignment])
    assert named in str(caught.value)


@pytest.mark.parametrize("assignment", ["epochs", "training..epochs=3", "training=["])
def test_an_assignment_has_a_form(assignment: str) -> None:
    with raises(ConfigError, "malformed-assignment", text=assignment):
        configure({"data": "D"}, None, [assignment])


@pytest.mark.parametrize("ensemble", [{"pool": "greedy"}, {"stop_when_gain_below": 0.01}])
def test_a_fit_on_held_out_clips_needs_some(ensemble: dict) -> None:
    """The baseline holds nothing out."""
    with raises(ConfigError, "invalid-value") as caught:
        configure({"data": "D", "preset": "baseline", "ensemble": ensemble})
    (setting,) = ensemble
    named = (f"ensemble.{setting}", "validation.holdout", "validation.folds")
    assert all(name in str(caught.value) for name in named)
    held_out = {"preset": "baseline", "validation": {"holdout": 0.1}}
    assert configure({"data": "D", "ensemble": ensemble, **held_out}).ensemble
    assert configure({"data": "D", "preset": "baseline", "ensemble": {"pool": "auto"}}).ensemble


def test_enough_members_are_at_least_a_round() -> None:
    folds = {"validation": {"holdout": 0, "folds": 5}}
    with raises(ConfigError, "invalid-value") as caught:
        configure({"data": "D", **folds, "ensemble": {"members": 10, "min_members": 4}})
    message = str(caught.value)
    assert "ensemble.min_members 4" in message
    assert "validation.folds 5" in message


def test_every_fault_is_in_one_message() -> None:
    keys = ("data", "training.epochs", "ensemble.pol")
    with raises(ConfigError, "missing-value", keys=keys) as caught:
        configure({}, None, ["training.epochs=0", "ensemble.pol=mean"])
    assert [line.partition(":")[0] for line in str(caught.value).splitlines()] == [*keys]
    assert "pool?" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content"), [("a.toml", "x = "), ("a.json", "{"), ("a.yaml", "- 1\n- 2\n")]
)
def test_unreadable_file(tmp_path: Path, name: str, content: str) -> None:
    file = tmp_path / name
    file.write_text(content)
    with raises(ConfigError, "unreadable-file", path=str(file)):
        configure({"data": "D"}, file)
    missing = tmp_path / "missing.toml"
    with raises(ConfigError, "no-such-file", path=str(missing)):
        configure({"data": "D"}, missing)


def test_models_are_frozen_and_closed() -> None:
    with pytest.raises(ValidationError):
        StoreConfig(chunk=3)  # type: ignore[call-arg]
    with pytest.raises(ValidationError):
        FeatureConfig().hop_length = 1  # type: ignore[misc]


def test_fingerprint_depends_on_content_alone() -> None:
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint(FeatureConfig()) == fingerprint(FeatureConfig())
    assert fingerprint(FeatureConfig()) != fingerprint(FeatureConfig(hop_length=80))
    assert fingerprint("a", "b") != fingerprint("ab")
