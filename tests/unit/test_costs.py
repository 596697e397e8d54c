"""Costs of stages: stored in the workspace and shown in the report."""

from dataclasses import replace

import pytest

from overlap.config import FeatureConfig, RunConfig
from overlap.io.location import Location
from overlap.io.workspace_paths import COSTS_FILE
from overlap.reporting.cost_section import stages_table
from overlap.reporting.report_data import load_report_data
from overlap.system.resources.energy import Readings, joules_of, processor_joules
from overlap.workspace.costs import StageCost, add_cost, read_costs
from support.untrained_members import Ready, champion_of

FEATURES = FeatureConfig()


def test_costs_add_up(workspace: Location) -> None:
    assert read_costs(workspace, FEATURES) == {}
    add_cost(workspace, FEATURES, "check", StageCost(clips=5, seconds=1.0))
    add_cost(workspace, FEATURES, "features", StageCost(clips=5, seconds=1.5, joules=10.0))
    add_cost(workspace, FEATURES, "features", StageCost(clips=2, seconds=0.5, joules=4.0))
    assert read_costs(workspace, FEATURES) == {
        "check": StageCost(clips=5, seconds=1.0),
        "features": StageCost(clips=7, seconds=2.0, joules=14.0),
    }
    add_cost(workspace, FEATURES, "features", StageCost(clips=1, seconds=1.0))
    assert read_costs(workspace, FEATURES)["features"].joules is None


def test_costs_of_other_features_are_discarded(workspace: Location) -> None:
    add_cost(workspace, FEATURES, "features", StageCost(clips=5, seconds=1.0))
    other = FEATURES.model_copy(update={"hop_length": 80})
    assert read_costs(workspace, other) == {}
    add_cost(workspace, other, "check", StageCost(clips=1, seconds=1.0))
    assert set(read_costs(workspace, other)) == {"check"}


def test_damaged_costs_are_unknown_costs(workspace: Location) -> None:
    add_cost(workspace, FEATURES, "features", StageCost(clips=5, seconds=1.0))
    file = workspace / COSTS_FILE
    file.write_bytes(file.read_bytes().replace(b"5", b"6"))
    assert read_costs(workspace, FEATURES) == {}
    add_cost(workspace, FEATURES, "features", StageCost(clips=7, seconds=1.0))
    assert read_costs(workspace, FEATURES)["features"].clips == 7


@pytest.mark.parametrize(
    ("readings", "joules"),
    [
        ([], None),
        ([("a", 5.0, 9.0)], 4.0),
        ([("a", 5.0, 9.0), ("a", 2.0, 6.0)], 7.0),
        ([("a", 5.0, 9.0), ("b", 1.0, 2.0)], 5.0),
        ([("a", 5.0, 9.0), ("b", None, None)], None),
        ([("a", 9.0, 1.0)], None),
    ],
)
def test_energy_of_concurrent_work(readings: list, joules: float | None) -> None:
    assert joules_of(Readings(*one) for one in readings) == joules


def test_the_energy_counter_is_monotonic() -> None:
    before = processor_joules()
    after = Readings.since(before).after
    assert (before is None) == (after is None)
    assert before is None or after >= before


def test_the_report_has_a_row_per_stage(config: RunConfig, ready: Ready) -> None:
    workspace, record = champion_of(config, ready, 4)
    add_cost(workspace, config.features, "check", StageCost(clips=50, seconds=2.0))
    add_cost(
        workspace, config.features, "features", StageCost(clips=50, seconds=4.0, joules=7200.0)
    )
    data = load_report_data(workspace, record)
    found = {row.pop("stage"): row for row in stages_table(data)}
    assert found["checking the clips"] == {
        "clips": "50", "seconds": "2.0", "clips/s": "25", "energy": "not measured",
    }  # fmt: skip
    assert found["features"]["energy"] == "2.0 Wh"
    assert found["training 4 members"]["seconds"] == "4.0"
    assert float(found["pooling and scoring"]["seconds"]) >= 0
    nothing = replace(
        data, costs={}, members=(), record=record.model_copy(update={"seconds": None})
    )
    assert stages_table(nothing) == []
