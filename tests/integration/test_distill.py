"""A distillation with real processes: killed, resumed, judged, listed, applied and exported."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from overlap.ensemble.registry import list_ensembles, read_predictions
from overlap.io.location import Location
from overlap.metrics.divergence import kl
from overlap.training.spec import load_record
from support.errors import printed_code
from support.process_fixtures import Finished
from support.studies import epochs_by_member, kill_when

pytestmark = pytest.mark.extended
LIMIT_S = 600


@pytest.fixture
def workspace(finished: Finished, tmp_path: Path) -> Path:
    """A copy of the finished run's workspace."""
    return Path(shutil.copytree(finished.workspace, tmp_path / "w"))


def files_of(workspace: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file, without those of the command itself."""
    return {
        str(file.relative_to(workspace)): (file.stat().st_size, file.stat().st_mtime_ns)
        for file in workspace.rglob("*")
        if file.is_file() and file.parent.name != "runs" and not file.name.startswith(".")
    }


def test_killed_resumed_judged_and_used(
    overlap, environment: dict[str, str], data: Path, workspace: Path, tmp_path: Path
) -> None:
    place = Location.of(workspace)
    (ensemble,) = list_ensembles(place)
    chosen = ("--workspace", str(workspace))
    command = ["distill", *chosen, "--epochs", "15", "--label-weight", "0.2"]
    earlier = epochs_by_member(workspace)

    def two_epochs() -> bool:
        return len(epochs_by_member(workspace).keys() - earlier.keys()) >= 2

    kill_when(two_epochs, environment, command, LIMIT_S)
    assert len(list_ensembles(place)) == 1
    before = epochs_by_member(workspace)
    found = json.loads(overlap(*command, "--json").stdout)
    after = epochs_by_member(workspace)
    assert before.items() <= after.items(), "an epoch was trained twice"

    student = list_ensembles(place)[-1]
    assert found["version"] == student.version
    assert student.distilled_from == ensemble.version
    (name,) = student.members
    record = load_record(place / "members" / name)
    assert record is not None
    assert record.spec.distillation is not None
    assert record.spec.distillation.members == ensemble.members
    assert len([member for member, _ in after if member == name]) == 15

    # Judged on the clips that both held out, and not promoted.
    saved, of_ensemble = (read_predictions(place, one) for one in (student, ensemble))
    for array in ("held_out_rows", "train_audio", "train_fold"):
        assert np.array_equal(saved[array], of_ensemble[array])
    assert record.clips + len(saved["held_out_rows"]) == student.clips["train"]
    duel = found["judgement"]["duel"]
    assert (duel["champion"], duel["clips"]) == (ensemble.version, len(saved["held_out_rows"]))
    assert duel["challenger_kl"] == pytest.approx(student.kl)
    assert duel["champion_kl"] == pytest.approx(ensemble.kl)
    listed = json.loads(overlap("models", "list", *chosen, "--json").stdout)
    assert listed["champion"] == ensemble.version
    assert f"student of {ensemble.version}" in overlap("models", "list", *chosen).stdout

    # Nothing to do: no file changes.
    files = files_of(workspace)
    again = json.loads(overlap(*command, "--json").stdout)
    assert (again["version"], again["judgement"]) == (student.version, found["judgement"])
    assert files_of(workspace) == files

    overlap("verify", *chosen)
    table = tmp_path / "predictions.csv"
    overlap("predict", data / "test", "--model", student.version, *chosen, "--out", table)
    rows = np.genfromtxt(table, delimiter=",", skip_header=1)[:, 1:]
    probabilities, spread = rows[:, :-1], rows[:, -1]
    assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-5
    assert not spread.any()  # one network agrees with itself
    assert np.abs(probabilities - saved["test"]).max() < 1e-3
    exported = tmp_path / "student.onnx"
    overlap("models", "export", student.version, *chosen, "--out", exported)
    assert exported.stat().st_size > 1000
    overlap("models", "promote", student.version, *chosen)
    listed = json.loads(overlap("models", "list", *chosen, "--json").stdout)
    assert listed["champion"] == student.version
    assert kl(probabilities, saved["test"]) < 1e-4


def test_mistakes_are_reported_before_any_work(overlap, workspace: Path) -> None:
    files = files_of(workspace)
    for options, code in (
        (("--set", "validation.holdout=0.4"), "setting-of-the-ensemble"),
        (("--set", "training.epoch=4"), "unknown-key"),
        (("--model", "20300101-000000-00000000"), "no-such-ensemble"),
        (("--label-weight", "1.5"), None),
    ):
        done = overlap("distill", "--workspace", workspace, *options, code=2)
        if code is not None:
            assert printed_code(done.stderr) == code
    assert files_of(workspace) == files
