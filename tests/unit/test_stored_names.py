"""Names stored outside the code keep their values; docs/architecture.md lists them.

Saved networks, Prefect servers, scripts and `.env` files contain these names. A change here breaks
them: add an alias instead, and extend the list.
"""

import ast
import importlib
import json
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import pytest
import yaml
from prefect import Flow, Task
from prefect.flows import load_flow_from_entrypoint

import flows
import tasks
from flows.announcer import CHAMPION_LABEL, EVENTS
from flows.service.deployments import pools, read_automations
from flows.service.notifications import DEPLOYED, read_definitions
from support.markdown_blocks import ROOT

LAYERS = {
    "overlap>Normalise": "overlap.training.layers",
    "overlap>SubsetShares": "overlap.training.subset",
    "overlap>Decibels": "overlap.export.layers",
    "overlap>PoolShares": "overlap.export.layers",
}
ENTRY_POINTS = {
    "retrain": ("flows.retrain.retrain", "retrain"),
    "nightly-retrain": ("flows.nightly.nightly_retrain", "nightly-retrain"),
    "predict": ("flows.predict.predict", "predict"),
}
"""Deployment: entry point and name of the flow."""
FLOWS = {"retrain", "nightly-retrain", "features", "train", "pool", "predict", "tune", "distill"}
TASKS = {
    "catalogue", "features", "drift", "member", "pool", "duel", "promote", "prune", "report",
    "apply", "table", "track",
}  # fmt: skip
ARTIFACT_KEYS = {
    "members", "kl", "drift", "champion", "run", "history", "report", "ensemble", "submission",
}  # fmt: skip
WORK_POOLS = {"overlap-process", "overlap-docker", "overlap-kubernetes"}
VARIABLES = {
    "library": {
        "OVERLAP_CHILD", "OVERLAP_PARENT_TMPDIR", "OVERLAP_PLACEMENT", "OVERLAP_ACCELERATOR_SHARE",
        "OVERLAP_TRAININGS", "OVERLAP_VIEW_TOKEN", "OVERLAP_BENCH_CLIP",
    },
    "compose": {
        "OVERLAP_DATA", "OVERLAP_DATA_FOLDER", "OVERLAP_WORKSPACE", "OVERLAP_WORKSPACE_FOLDER",
        "OVERLAP_DEPLOY", "OVERLAP_BIND", "OVERLAP_VIEW_TOKEN", "OVERLAP_VIEW_URL",
    },
    "slurm": {"OVERLAP_BIN", "OVERLAP_SCHEDULER"},
}  # fmt: skip
ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()


def objects(package: Any, kind: type) -> dict[str, Any]:
    """Flows or tasks that the modules of a package define, by their names."""
    found = {}
    for info in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        module = importlib.import_module(info.name)
        found |= {thing.name: thing for thing in vars(module).values() if isinstance(thing, kind)}
    return found


def sources(*folders: str) -> Iterator[str]:
    """Text of every Python file below some folders."""
    for folder in folders:
        yield from (file.read_text() for file in (ROOT / folder).rglob("*.py"))


def variables(*texts: str) -> set[str]:
    return set(re.findall(r"\bOVERLAP_[A-Z_]+\b", "\n".join(texts)))


def test_registered_layers() -> None:
    for module in set(LAYERS.values()):
        importlib.import_module(module)
    for name, module in LAYERS.items():
        layer = keras.saving.get_registered_object(name)
        assert layer is not None, name
        assert layer.__module__ == module
        assert keras.saving.get_registered_name(layer) == name


@pytest.mark.parametrize("deployment", ENTRY_POINTS)
def test_entry_points(deployment: str) -> None:
    entry_point, name = ENTRY_POINTS[deployment]
    content = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    entries = {entry["name"]: entry["entrypoint"] for entry in content["deployments"]}
    assert set(entries) == set(ENTRY_POINTS)
    assert entries[deployment] == entry_point
    module, _, function = entry_point.rpartition(".")
    assert getattr(importlib.import_module(module), function).name == name
    flow = load_flow_from_entrypoint(entry_point, use_placeholder_flow=False)
    assert isinstance(flow, Flow)
    assert flow.name == name


def test_flows() -> None:
    assert set(objects(flows, Flow)) == FLOWS


def test_tasks() -> None:
    assert set(objects(tasks, Task)) == TASKS


def test_artifact_keys() -> None:
    keys, computed = set(), []
    for text in sources("flows", "tasks"):
        for call in (node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)):
            name = call.func.id if isinstance(call.func, ast.Name) else ""
            if re.fullmatch(r"create_\w+_artifact", name):
                values = [word.value for word in call.keywords if word.arg == "key"]
                keys |= {value.value for value in values if isinstance(value, ast.Constant)}
                computed += [value for value in values if not isinstance(value, ast.Constant)]
    assert computed == []
    assert keys == ARTIFACT_KEYS


def test_work_pools() -> None:
    assert set(pools()) == WORK_POOLS
    for name in WORK_POOLS:
        template = ROOT / "deployments" / "pools" / f"{name.removeprefix('overlap-')}.json"
        assert set(json.loads(template.read_text())) >= {"job_configuration", "variables"}


def test_automation_and_limits() -> None:
    (automation,) = read_automations()
    assert automation.name == "overlap-crashed"
    watched = set(automation.trigger.match_related.root["prefect.resource.name"])
    assert watched == FLOWS
    limits = re.findall(r'"(overlap-\w+-)\{', (ROOT / "flows/service/limits.py").read_text())
    assert limits == ["overlap-workspace-"]
    notifications = [entry["name"] for entry in read_definitions(26)]
    assert [f"`{name}`" in ARCHITECTURE for name in notifications] == [True] * 4
    assert notifications == [
        f"overlap-notify-{name}" for name in ("failed", "outcome", "data", "silence")
    ]


def test_events() -> None:
    names = {*EVENTS.values(), DEPLOYED, CHAMPION_LABEL}
    assert names == {
        "overlap.run.promoted", "overlap.run.not-promoted", "overlap.run.unchanged",
        "overlap.data.drift", "overlap.data.unusable-clips", "overlap.deployed",
        "overlap.champion",
    }  # fmt: skip
    assert {name for name in names if f"`{name}`" not in ARCHITECTURE} == set()


def test_environment_variables() -> None:
    assert variables(*sources("overlap", "tasks", "flows")) == VARIABLES["library"]
    compose = [(ROOT / "docker" / name).read_text() for name in ("compose.yaml", ".env.example")]
    assert variables(*compose) == VARIABLES["compose"]
    scripts = [file.read_text() for file in (ROOT / "deployments" / "slurm").glob("*.sh")]
    assert variables(*scripts) == VARIABLES["slurm"]


def test_console_script() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert project["scripts"] == {"overlap": "overlap.__main__:main"}
    assert callable(importlib.import_module("overlap.__main__").main)
    # Scripts of installations before 0.3 import it.
    assert callable(importlib.import_module("flows.cli.main").main)


def test_the_documentation_lists_every_name() -> None:
    listed = {
        *LAYERS, *LAYERS.values(), *ENTRY_POINTS, *(path for path, _ in ENTRY_POINTS.values()),
        *FLOWS, *TASKS, *ARTIFACT_KEYS, *WORK_POOLS,
        *(name for group in VARIABLES.values() for name in group),
    }  # fmt: skip
    assert {name for name in listed if f"`{name}`" not in ARCHITECTURE} == set()


def test_the_documentation_names_tests_that_exist() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py): (test_\w+)`", ARCHITECTURE)
    assert len(named) > 10
    for file, test in named:
        assert f"def {test}(" in Path(ROOT / file).read_text(), (file, test)
