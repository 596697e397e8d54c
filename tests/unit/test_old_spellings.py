"""Renamed settings: old spellings are accepted everywhere, with one warning per process."""

import subprocess
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from prefect import flow
from prefect.utilities.callables import parameter_schema
from pydantic import ValidationError

import overlap
from flows.retrain import retrain
from overlap.config import FeatureConfig, RunConfig, fingerprint, old_spellings
from overlap.config.loading import configure, gathered
from overlap.config.old_spellings import OLD_SPELLINGS, OldSpellingWarning, current_values
from overlap.errors import ConfigError, UserError
from support.errors import raises

OLD = {"rate_hz": 8000, "hop": 80, "mels": 16}
NEW = {"sample_rate": 8000, "hop_length": 80, "n_mels": 16}
NETWORK = {"stages": [{"kind": "plain", "filters": 2}], "input_pool": [1, 1]}


@pytest.fixture(autouse=True)
def fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a process that has not warned yet."""
    monkeypatch.setattr(old_spellings, "_warned", set())


@pytest.fixture
def warned() -> Iterator[list[str]]:
    """The warnings of old spellings that the test causes."""
    found: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield found
        found += [str(one.message) for one in caught if one.category is OldSpellingWarning]


def named(message: str) -> set[str]:
    return {word.strip(",;") for word in message.split() if "." in word}


def run(features: dict[str, Any]) -> dict[str, Any]:
    return {"data": "D", "network": NETWORK, "features": features}


EXPECTED = RunConfig.model_validate(run(NEW))


def test_both_spellings_give_the_same_configuration_and_fingerprints() -> None:
    with pytest.warns(OldSpellingWarning) as caught:
        old = RunConfig.model_validate(run(OLD))
    assert old == EXPECTED
    assert fingerprint(old) == fingerprint(EXPECTED)
    expected = {f"features.{name}" for name in (*OLD, *NEW)}
    assert named(str(caught[0].message)) == expected


@pytest.mark.parametrize(("old", "new"), [*zip(OLD, NEW, strict=True)])
def test_keyword_arguments(old: str, new: str) -> None:
    with pytest.warns(OldSpellingWarning):
        config = FeatureConfig(**{old: OLD[old]})
    assert config == FeatureConfig(**{new: NEW[new]})
    assert getattr(config, new) == OLD[old]
    assert OLD_SPELLINGS["features"][old] == new


def test_a_process_warns_once() -> None:
    def use_twice() -> None:
        RunConfig.model_validate(run(OLD))
        FeatureConfig(hop=80)  # type: ignore[call-arg]

    with pytest.warns(OldSpellingWarning) as caught:
        use_twice()
    assert len(caught) == 1


@pytest.mark.parametrize(
    ("file", "assignments", "flags", "hop"),
    [
        ({"hop": 40}, [], {}, 40),
        ({"hop": 40}, ["features.hop_length=80"], {}, 80),
        ({"hop_length": 40}, ["features.hop=80"], {}, 80),
        ({"hop": 40}, ["features.hop=80"], {"hop_length": 20}, 20),
        ({"hop_length": 40}, [], {"hop": 20}, 20),
    ],
)
def test_a_later_source_wins_whichever_name_it_uses(
    tmp_path: Path, file: dict, assignments: list[str], flags: dict, hop: int
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("features:\n" + "".join(f"  {k}: {v}\n" for k, v in file.items()))
    given = {"data": "D"} | ({"features": flags} if flags else {})
    with pytest.warns(OldSpellingWarning) as caught:
        assert configure(given, config, assignments).features.hop_length == hop
    assert len(caught) == 1
    assert named(str(caught[0].message)) == {"features.hop", "features.hop_length"}


def test_a_preset_does_not_win_over_an_old_spelling(
    monkeypatch: pytest.MonkeyPatch, warned: list[str]
) -> None:
    presets = MappingProxyType({"demo": {"features": {"hop_length": 160, "n_mels": 32}}})
    monkeypatch.setattr("overlap.config.run.PRESETS", presets)
    given = RunConfig.model_validate({"data": "D", "features": {"hop": 80}, "network": NETWORK})
    assert (given.features.hop_length, given.features.n_mels) == (80, 32)


@pytest.mark.parametrize(("old", "new"), [*zip(OLD, NEW, strict=True)])
def test_both_spellings_at_once(tmp_path: Path, old: str, new: str) -> None:
    both = {old: OLD[old], new: NEW[new]}
    facts = {"old": f"features.{old}", "new": f"features.{new}"}
    with raises(ConfigError, "two-spellings", **facts):
        configure({"data": "D", "features": both})
    with raises(ConfigError, "two-spellings", **facts):
        configure({"data": "D"}, None, [f"features.{k}={v}" for k, v in both.items()])
    file = tmp_path / "run.toml"
    file.write_text("[features]\n" + "".join(f"{k} = {v}\n" for k, v in both.items()))
    with raises(ConfigError, "two-spellings", **facts):
        configure({"data": "D"}, file)
    for build in (lambda: FeatureConfig(**both), lambda: RunConfig.model_validate(run(both))):
        with pytest.raises(ValidationError) as caught:
            build()
        (fault,) = caught.value.errors()
        assert fault["ctx"]["error"].code == "two-spellings"


def test_what_is_gathered_has_current_names(warned: list[str]) -> None:
    """A deployment stores these values."""
    assert gathered({"data": "D", "features": OLD})["features"] == NEW


def test_values_without_old_spellings_are_not_changed() -> None:
    given = {"data": "D", "features": "wrong", "training": {"hop": 1}}
    assert current_values(given) == (given, [])


def test_parameters_that_a_server_stored_before_still_run() -> None:
    """A schedule hands them to the flow as they were stored."""
    with pytest.warns(OldSpellingWarning):
        found = retrain.validate_parameters({"config": run(OLD)})
    assert found["config"] == EXPECTED


def test_stored_content_is_read_without_a_warning() -> None:
    assert FeatureConfig.from_stored(OLD) == FeatureConfig(**NEW)
    assert FeatureConfig.from_stored(NEW | {"added_later": 1}) == FeatureConfig(**NEW)
    # The stored key counts: fingerprints were computed with it.
    assert FeatureConfig.from_stored({"hop": 80, "hop_length": 40}).hop_length == 80
    stored = EXPECTED.model_dump(mode="json")
    assert {*stored["features"]} >= {*OLD}
    assert RunConfig.from_stored(stored) == EXPECTED
    stored["training"]["augment"]["added_later"] = 1
    assert RunConfig.from_stored(stored | {"added_later": {}}) == EXPECTED
    assert {*EXPECTED.model_dump()["features"]} >= {*NEW}


def test_unknown_keys_of_a_user_are_refused() -> None:
    with raises(ConfigError, "unknown-key", key="features.hops"):
        configure({"data": "D", "features": {"hops": 1}})
    with raises(ConfigError, "unknown-key", key="added_later"):
        configure({"data": "D", "added_later": 1})


def test_the_form_shows_the_current_names() -> None:
    @flow
    def job(config: RunConfig) -> None: ...

    shown = parameter_schema(job).model_dump()["definitions"]["FeatureConfig"]["properties"]
    assert {*NEW} <= shown.keys()
    assert not {*OLD} & shown.keys()
    assert "Default: 160." in shown["hop_length"]["description"]


def test_the_command_line_warns_with_one_line(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text("[features]\nhop = 80\nrate_hz = 8000\n")
    entry = [sys.executable, "-c", "from flows.cli.main import main; main()"]
    where = ["--data", str(tmp_path / "no"), "--config", str(file)]
    command = [*entry, "features", *where, "--set", "features.mels=32"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    lines = [line for line in done.stderr.splitlines() if "features.hop_length" in line]
    assert len(lines) == 1
    assert lines[0].startswith("warning: ")
    assert named(lines[0]) == {f"features.{name}" for name in (*OLD, *NEW)}
    assert "OldSpellingWarning" not in done.stderr
    assert done.returncode == 2  # there is no such data


def test_the_rate_of_samples_in_the_library() -> None:
    tone = np.sin(np.arange(8000) / 3).astype(np.float32)
    expected = overlap.extract_features(tone, sample_rate=8000)
    with pytest.warns(DeprecationWarning, match="sample_rate"):
        found = overlap.extract_features(tone, rate_hz=8000)
    assert np.array_equal(found, expected)
    with raises(UserError, "two-spellings", old="rate_hz", new="sample_rate"):
        overlap.extract_features(tone, sample_rate=8000, rate_hz=8000)
