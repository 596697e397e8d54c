"""A search with real processes: killed, resumed, extended, used, removed."""

import json
from pathlib import Path

import pytest

from overlap.config.loading import configure
from support.studies import epochs_by_member, in_the_middle_of_a_trial, kill_when, read_journal

pytestmark = pytest.mark.nightly
LIMIT_S = 600
SEARCHES = (
    "--search=training.learning_rate=1e-3:3e-2:log",
    "--search=network.dropout=0:0.4",
)


@pytest.fixture
def search(data: Path, tiny: Path, tmp_path: Path) -> list[str]:
    """A search that takes three folds, because the data set has four groups."""
    options = ("--data", data, "--workspace", tmp_path / "w", "--config", tiny)
    return [
        *map(str, options), *SEARCHES, "--set=validation={folds: 3, holdout: 0}",
        "--set=ensemble.members=3", "--set=training.epochs=20",
    ]  # fmt: skip


def test_killed_resumed_extended_and_removed(
    overlap, environment: dict[str, str], search: list[str], tmp_path: Path
) -> None:
    workspace = tmp_path / "w"
    condition = in_the_middle_of_a_trial(workspace, 0)
    kill_when(condition, environment, ["tune", *search, "--trials", "2"], LIMIT_S)
    before, (members, _) = epochs_by_member(workspace), read_journal(workspace)
    found = json.loads(overlap("tune", *search, "--trials", "2", "--seeds", "1", "--json").stdout)
    assert len(found["trials"]) == 2
    assert before.items() <= epochs_by_member(workspace).items(), "an epoch was trained twice"
    assert {*members.values()} <= {trial["member"] for trial in found["trials"]}
    assert found["epochs"]["spent"] <= found["epochs"]["full"] == 40
    (folder,) = (workspace / "tune").iterdir()
    assert {file.name for file in folder.iterdir()} >= {
        "study.json", "journal.log", "best.toml", "report.html",
    }  # fmt: skip
    configure({"data": "D"}, folder / "best.toml")

    more = ("--trials", "3", "--seeds", "1", "--json")
    extended = json.loads(overlap("tune", *search, *more).stdout)
    assert extended["study"] == found["study"]
    assert extended["trials"][:2] == found["trials"]
    assert json.loads(overlap("tune", *search, *more).stdout) == extended

    overlap("verify", "--workspace", workspace)
    status = json.loads(overlap("status", "--workspace", workspace, "--json").stdout)
    assert status["studies"] == [found["study"]]
    assert status["members"] == []
    overlap("models", "prune", "--workspace", workspace, "--study", found["study"])
    assert [*workspace.glob("tune/*")] == [*workspace.glob("members/*")] == []


def test_mistakes_are_reported_before_any_work(overlap, search: list[str], tmp_path: Path) -> None:
    for option, text in (
        ("features.n_mels=32,64", "cannot be searched"),
        ("network.dropout=0:2", "below 1"),
        ("training.batch_size", "no range of its own"),
    ):
        done = overlap("tune", *search, "--search", option, code=2)
        assert text in done.stderr
    assert not (tmp_path / "w").exists()
