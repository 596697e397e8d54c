"""A run whose ensemble is not better than the trivial prediction, as its user meets it."""

import json
import shutil
from pathlib import Path

import pytest

from support.errors import printed_code

pytestmark = pytest.mark.extended

OUTCOME = "published, not promoted: not better than the trivial prediction"


def test_an_ensemble_that_is_not_better_is_not_promoted(
    overlap, api, finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """The members exist already; the run decides again, with the condition that is the default."""
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    (workspace / "champion.json").unlink()
    place = ("--workspace", workspace)
    before = {file: file.stat().st_mtime_ns for file in workspace.glob("members/*/*")}
    run = ("run", "--data", data, *place, "--config", tiny,
           "--set", "promotion.better_than_trivial=if-measured")  # fmt: skip

    done = overlap(*run)
    assert OUTCOME in done.stdout
    assert done.stdout.splitlines()[-1].startswith("next            no champion yet; raise")
    assert {file: file.stat().st_mtime_ns for file in workspace.glob("members/*/*")} == before

    listed = json.loads(overlap("models", "list", *place, "--json").stdout)
    (ensemble,) = listed["ensembles"]
    version, decision = ensemble["version"], ensemble["decision"]
    assert (listed["champion"], decision["promoted"]) == (None, False)
    assert decision["trivial"]["low"] <= 0
    assert "not better than the trivial prediction" in overlap("models", "list", *place).stdout

    flows = [run for run in api.ask("flow_runs") if run["parameters"].get("config", {}).get(
        "workspace") == str(workspace) and run["name"].startswith("retrain-")]  # fmt: skip
    (state,) = [run["state"] for run in flows]
    assert (state["type"], OUTCOME in state["message"]) == ("COMPLETED", True)
    assert "; promoted" not in state["message"]

    (report,) = workspace.glob("ensembles/*/report.html")
    overlap("report", version, *place)
    assert "not better than the trivial prediction" in report.read_text()

    out = ("--out", tmp_path / "predictions.csv")
    refused = overlap("predict", data / "test", *place, *out, code=2).stderr
    assert printed_code(refused) == "no-champion"
    assert f"--model {version}" in refused
    named = overlap("predict", data / "test", *place, *out, "--model", version).stderr
    assert f"note: {version} is not better than the trivial prediction" in named

    promoted = overlap("models", "promote", version, *place)
    assert f"champion: {version}" in promoted.stdout
    assert f"note: {version} is not better than the trivial prediction" in promoted.stderr
    overlap("predict", data / "test", *place, *out)
