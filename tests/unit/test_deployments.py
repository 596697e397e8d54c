"""The files of deployments/: what they name exists, and one installation's values reach them."""

import importlib
import json
from pathlib import Path

import pytest
import yaml
from prefect.flows import Flow, load_flow_from_entrypoint
from prefect.utilities.templating import apply_values
from prefect.workers.process import ProcessJobConfiguration

from flows.service import deployments as library
from flows.service.deployments import FOLDER, Wanted, check_current_folder, deployments
from overlap.config import RunConfig
from overlap.errors import UserError
from support.errors import raises

POOLS = sorted(file.stem for file in (FOLDER / "pools").glob("*.json"))


def template(pool: str) -> dict:
    return json.loads((FOLDER / "pools" / f"{pool}.json").read_text())


def entries() -> list[dict]:
    return yaml.safe_load((FOLDER / "prefect.yaml").read_text())["deployments"]


def test_every_deployment_names_a_flow_its_parameters_and_a_pool_with_its_variables() -> None:
    assert [e["name"] for e in entries()] == ["retrain", "nightly-retrain", "predict"]
    for entry in entries():
        flow = load_flow_from_entrypoint(entry["entrypoint"], use_placeholder_flow=False)
        assert set(entry["parameters"]) <= set(flow.parameters.properties)
        if "config" in entry["parameters"]:
            RunConfig.model_validate(entry["parameters"]["config"])
        pool = entry["work_pool"]
        kind = pool["name"].removeprefix("overlap-")
        assert kind in POOLS
        assert set(pool["job_variables"]) <= set(template(kind)["variables"]["properties"])


def test_a_schedule_is_off_until_somebody_asks_for_it() -> None:
    (entry,) = (e for e in entries() if e.get("schedules"))
    assert entry["name"] == "nightly-retrain"
    assert [schedule["active"] for schedule in entry["schedules"]] == [False]
    on = deployments(Wanted(config={"data": "D"}, cron="5 4 * * *", timezone="Asia/Seoul"))
    (schedule,) = on["deployments"][1]["schedules"]
    assert (schedule["cron"], schedule["timezone"], schedule["active"]) == (
        "5 4 * * *", "Asia/Seoul", True,
    )  # fmt: skip


def test_the_values_of_an_installation_are_the_defaults_of_the_form() -> None:
    config = {"data": "/D", "cluster": {"address": "tcp://s:8786"}, "ensemble": {"members": 4}}
    content = deployments(Wanted(config=config, pool="overlap-docker"))
    retrain, nightly, predict = content["deployments"]
    assert retrain["parameters"]["config"] == {"workspace": "workspace", **config}
    assert nightly["parameters"] == retrain["parameters"]
    assert predict["parameters"] == {"workspace": "workspace", "cluster": config["cluster"]}
    assert {entry["work_pool"]["name"] for entry in content["deployments"]} == {"overlap-docker"}
    assert "job_variables" not in retrain["work_pool"]  # the image says where it works


@pytest.mark.parametrize("kind", POOLS)
def test_a_job_template_gives_a_job(kind: str) -> None:
    if kind == "process":
        model = ProcessJobConfiguration
    else:
        worker = importlib.import_module(f"prefect_{kind}.worker")
        model = getattr(worker, f"{kind.capitalize()}WorkerJobConfiguration")
    content = template(kind)
    fields = content["variables"]["properties"]
    values = {name: field["default"] for name, field in fields.items() if "default" in field}
    # What a worker does with a template, without asking a server for its blocks.
    job = model(**apply_values(content["job_configuration"], values | {"labels": {"a": "b"}}))
    assert job.labels == {"a": "b"}
    assert job.env["PREFECT_FLOWS_HEARTBEAT_FREQUENCY"] == "30"
    assert job.env["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"
    assert job.env["PYTHONSAFEPATH"] == "1"  # imports nothing from the current folder
    if kind == "kubernetes":
        pod = job.job_manifest["spec"]["template"]["spec"]
        mounted = {mount["name"] for mount in pod["containers"][0]["volumeMounts"]}
        assert mounted == {volume["name"] for volume in pod["volumes"]}


def test_the_crash_automation_watches_every_flow() -> None:
    found = set()
    for file in Path(library.__file__).parents[1].glob("*.py"):
        module = importlib.import_module(f"flows.{file.stem}")
        found |= {flow.name for flow in vars(module).values() if isinstance(flow, Flow)}
    (automation,) = library.read_automations()
    assert set(automation.trigger.match_related.root["prefect.resource.name"]) == found - {"scale"}
    assert automation.actions[0].state == "CRASHED"


def test_what_is_served_is_what_would_be_deployed() -> None:
    wanted = Wanted(config={"data": "D"}, cron="5 4 * * *")
    for entry, served in zip(
        deployments(wanted)["deployments"], library.served(wanted), strict=True
    ):
        assert served.name == entry["name"]
        assert served.entrypoint == entry["entrypoint"]
        assert served.parameters == entry["parameters"]
        assert [s.schedule.cron for s in served.schedules or ()] == [
            s["cron"] for s in entry.get("schedules", ())
        ]
        if "concurrency_limit" in entry:
            assert served.concurrency_limit == entry["concurrency_limit"]["limit"]


@pytest.mark.parametrize("name", ["yaml", "flows"])
def test_a_folder_with_modules_that_a_flow_run_would_import_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").touch()
    check_current_folder("overlap-process")
    (tmp_path / f"{name}.py").touch()
    check_current_folder("overlap-docker")
    with raises(UserError, "foreign-package", package=name):
        check_current_folder("overlap-process")
