"""The real command on a workspace that release 0.1.0 wrote."""

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pandas as pd
import pytest

from support.earlier_workspace import CONFIG_FILE, PREDICTIONS_FILE, STATUS_FILE, Earlier

pytestmark = pytest.mark.extended

Command = Callable[..., CompletedProcess[str]]
RESULTS = ("members", "features.zarr/mel", "ensembles")


def test_every_command_takes_the_workspace_as_it_is(overlap: Command, earlier: Earlier) -> None:
    place = ("--workspace", earlier.workspace)
    before = earlier.contents()

    status = json.loads(overlap("status", *place, "--json").stdout)
    later = {"workspace": str(earlier.workspace), "studies": []}
    assert status == json.loads(STATUS_FILE.read_text()) | later
    assert earlier.contents() == before

    out = earlier.workspace.parent / "predictions.csv"
    overlap("predict", earlier.data / "test", *place, "--out", out)
    expected, found = pd.read_csv(PREDICTIONS_FILE), pd.read_csv(out)
    assert [*found.columns] == [*expected.columns]
    assert [*found["id"]] == [*expected["id"]]
    difference = found.drop(columns="id") - expected.drop(columns="id")
    assert np.abs(difference.to_numpy()).max() < 1e-6

    results = earlier.contents(*RESULTS)
    run = ("run", "--data", earlier.data, *place, "--config", CONFIG_FILE)
    done = overlap(*run)
    warnings = [line for line in done.stderr.splitlines() if "features.hop_length" in line]
    assert len(warnings) == 1
    after = earlier.contents(*RESULTS)
    # The report belongs to a version, and is drawn where it is missing.
    assert {name: after.get(name) for name in results} == results
    assert {name for name in after if name not in results} <= {
        name for name in after if name.endswith("/report.html")
    }

    def kept() -> dict[str, str]:
        return {n: h for n, h in earlier.contents().items() if not n.startswith("runs/")}

    whole = kept()
    overlap(*run)
    assert kept() == whole

    verified = json.loads(overlap("verify", *place, "--all", "--json").stdout)
    assert (verified["faults"], verified["newer"]) == ([], [])
    assert (verified["blocks_recomputed"], verified["members"], verified["ensembles"]) == (3, 4, 2)
    newest = status["ensembles"][-1]["version"]  # the champion was trained on fewer clips
    written = json.loads(overlap("report", newest, *place, "--json").stdout)
    assert written["version"] == newest
    assert Path(written["report"]).stat().st_size > 10_000
