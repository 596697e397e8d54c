"""Runs that publish fewer members than planned, with real training and a real command line."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.ensemble import registry
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import CHECKPOINT_FILE
from overlap.training.spec import plan_members

pytestmark = pytest.mark.nightly


def records(workspace: Path) -> list[registry.EnsembleRecord]:
    return registry.list_ensembles(Location.of(workspace))


def members(workspace: Path) -> list[str]:
    return sorted(file.parent.name for file in workspace.glob("members/*/member.json"))


def test_a_run_stops_early_and_goes_on_without_a_member(
    overlap, finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """Two of its members are there already; each run here trains one."""
    copy = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    run = ("run", "--data", data, "--workspace", copy, "--config", tiny)
    early = (*run, "--members", 6, "--set", "ensemble.stop_when_gain_below=10")
    said = overlap(*early).stdout
    assert "3 of 6 members; training stopped after 3" in said
    assert "ensemble of 8 (expected)" in said
    assert len(members(copy)) == len(records(copy)[-1].members) == 3
    there = members(copy), [record.version for record in records(copy)]
    overlap(*early)
    assert (members(copy), [record.version for record in records(copy)]) == there
    plan = json.loads(overlap("plan", *early[1:], "--json").stdout)
    assert (plan["members"], plan["members_to_train"]) == (6, 0)

    values = yaml.safe_load(tiny.read_text()) | {"ensemble": {"members": 4}}
    config = RunConfig(data=str(data), workspace=str(copy), **values)
    place = Location.of(copy)
    spec = plan_members(config, Catalog.load(place), FeatureStore.open(place))[3]
    checkpoint = Path(str(spec.folder(place) / CHECKPOINT_FILE))
    checkpoint.mkdir(parents=True)  # a damaged one would be begun again; this cannot be written
    four = (*run, "--members", 4, "--set", "ensemble.pool=auto")
    assert "failed: 1 of 4 members failed: member " in overlap(*four, code=1).stderr
    enough = (*four, "--set", "ensemble.min_members=3")
    done = overlap(*enough)
    assert "note: 1 of 4 members failed" in done.stderr
    assert "3 of 4 members; missing members: 4; 3 suffice" in done.stdout
    assert "pooled by greedy" in done.stdout
    checkpoint.rmdir()
    found = json.loads(overlap(*enough, "--json").stdout)
    assert found["fewer"] is None
    assert len(found["members"]) == 4
    assert found["more"]["members"] == 5
    assert {judged["way"] for judged in found["choice"]["ways"]} >= {"mean", "power"}
