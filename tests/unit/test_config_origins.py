"""`overlap config`: every setting with its origin, and the schema of configuration files."""

import json
from operator import attrgetter
from pathlib import Path

import pytest
from pydantic_core import to_jsonable_python
from typer.testing import CliRunner

from flows.cli.application import app
from overlap.config import AugmentConfig
from overlap.config.loading import configure
from overlap.config.origins import Setting, json_schema, resolve
from overlap.errors import ConfigError
from support.errors import raises


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "run.toml"
    path.write_text("preset = 'fast'\n[training]\nepochs = 5\n[features]\nhop_length = 80\n")
    return path


def shown(*arguments: str) -> str:
    done = CliRunner().invoke(app, ["config", *arguments], env={"COLUMNS": "120"})
    assert done.exit_code == 0, done.output
    return done.stdout


def test_later_sources_win_and_are_named(file: Path) -> None:
    flags = {"data": "D", "ensemble": {"members": 2}}
    found = resolve(flags, file, ["training.batch_size=16", "ensemble.members=4"])
    assert found["data"] == Setting("D", "option")
    assert found["ensemble.members"] == Setting(2, "option")
    assert found["training.batch_size"] == Setting(16, "set")
    assert found["training.epochs"] == Setting(5, "file", str(file))
    assert found["training.optimizer"] == Setting("adamw", "preset", "fast")
    assert found["training.augment.shift_frames"] == Setting(6, "preset", "fast")
    assert found["training.augment.masks"] == Setting(0, "default")
    assert found["workspace"] == Setting("workspace", "default")


@pytest.mark.filterwarnings("ignore::overlap.config.old_spellings.OldSpellingWarning")
def test_an_old_spelling_is_found_under_the_current_name() -> None:
    assert resolve(assignments=["features.hop=80"])["features.hop_length"] == Setting(80, "set")


def test_the_values_are_those_of_a_run(file: Path) -> None:
    config = configure({"data": "D"}, file, ["network.width=0.5"])
    for name, setting in resolve({"data": "D"}, file, ["network.width=0.5"]).items():
        assert setting.value == to_jsonable_python(attrgetter(name)(config)), name


def test_data_may_be_missing_but_nothing_may_be_wrong() -> None:
    assert resolve()["data"] == Setting(None, "missing")
    with raises(ConfigError, "unknown-key", key="training.epoch"):
        resolve(assignments=["training.epoch=3"])


def test_the_command_prints_a_section() -> None:
    lines = shown("show", "training.augment", "--preset", "fast").splitlines()
    cells = [line.replace("│", " ").split() for line in lines if "augment" in line]
    assert ["training.augment.shift_frames", "6", "preset", "fast"] in cells
    assert len(cells) == len(AugmentConfig.model_fields)
    one = json.loads(shown("show", "training.epochs", "--set", "training.epochs=9", "--json"))
    assert one == {"training.epochs": {"value": 9, "origin": "set", "source": None}}


def test_the_schema_describes_a_file() -> None:
    schema = json.loads(shown("schema"))
    assert schema == json_schema()
    assert "data" in schema["properties"]
    assert "required" not in schema
    training = schema["$defs"]["TrainingConfig"]["properties"]["epochs"]
    assert (training["type"], training["minimum"]) == ("integer", 1)
    assert "demo 8" in training["description"]
