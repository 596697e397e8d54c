"""A search on real speech that is killed three times, and what it finds on an untouched fold."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.processes import OVERLAP
from support.studies import epochs_by_member, in_the_middle_of_a_trial, kill_when, read_journal

pytestmark = pytest.mark.nightly
TRIALS, KILLS = 16, (3, 7, 11)
EPOCHS = 9
RECORDINGS = 200
"""Words of the data set have at least so many recordings."""
SETTINGS = (
    "--set=network.stages=[{kind: plain, filters: 32}, {kind: plain, filters: 64}]",
    "--set=network.width=0.25",
    f"--set=training.epochs={EPOCHS}",
    "--search=training.learning_rate=1e-3:3e-2:log",
    "--search=training.batch_size=8:64:log",
    "--search=network.dropout=0:0.4",
)
LIMIT_S = 3600


def test_sixteen_trials_on_real_speech(
    speech: Path, environment: dict[str, str], tmp_path: Path
) -> None:
    words, data, workspace = tmp_path / "words", tmp_path / "data", tmp_path / "workspace"
    words.mkdir()
    for folder in speech.iterdir():
        if folder.is_dir() and len([*folder.iterdir()]) > RECORDINGS:
            (words / folder.name).symlink_to(folder)
    mix = ("mix", words, "--out", data, "--train", 400, "--test", 20, "--words-per-clip", 2)
    run(environment, *mix, "--groups", 40)
    search = ["tune", "--data", str(data), "--workspace", str(workspace), *SETTINGS]
    search += ["--trials", str(TRIALS)]

    before: dict[tuple[str, int], str] = {}
    for after in KILLS:
        kill_when(in_the_middle_of_a_trial(workspace, after), environment, search, LIMIT_S)
        epochs = epochs_by_member(workspace)
        assert before.items() <= epochs.items(), "an epoch was trained twice"
        before = epochs
        _, ended = read_journal(workspace)
        sys.stdout.write(f"killed after {len(ended)} trials and {len(epochs)} epochs\n")

    found = json.loads(run(environment, *search, "--json"))
    assert before.items() <= epochs_by_member(workspace).items(), "an epoch was trained twice"
    assert len(found["trials"]) == TRIALS
    assert {trial["state"] for trial in found["trials"]} <= {"complete", "pruned"}
    assert 2 * found["epochs"]["spent"] <= found["epochs"]["full"] == TRIALS * EPOCHS
    sys.stdout.write(json.dumps(found, indent=2) + "\n")
    sys.stdout.write(Path(found["config"]).read_text())
    again = json.loads(run(environment, *search, "--json"))
    assert again == found, "a finished search has nothing to do"
    run(environment, "models", "prune", "--workspace", workspace, "--study", found["study"])
    assert [*workspace.glob("tune/*")] == [*workspace.glob("members/*")] == []


def run(environment: dict[str, str], *arguments: object) -> str:
    done = subprocess.run(
        [OVERLAP, *map(str, arguments)], env=environment, stdout=subprocess.PIPE, text=True,
        timeout=LIMIT_S, check=True,
    )  # fmt: skip
    return done.stdout
