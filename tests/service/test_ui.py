"""A person in front of the UI: fills in the form, starts a run, sees what it does and found."""

import re
from contextlib import suppress
from pathlib import Path

import pytest

from overlap.ensemble.registry import list_ensembles, report_of
from overlap.io.location import Location
from overlap.training.spec import load_record
from support.browser import keep, playwright
from support.processes import has_checkpoint, members_of
from support.running_service import Service

pytestmark = pytest.mark.nightly

MEMBERS = 15


def field(page: "playwright.Page", title: str) -> "playwright.Locator":
    """The input below a title of the form."""
    named = re.compile(rf"^{title}( \(Optional\))?$")
    label = page.locator(".schema-form-property__label", has_text=named)
    return page.locator(".schema-form-property", has=label).last.locator("input, textarea").first


def submit(service: Service, page: "playwright.Page") -> None:
    """Start the run of the form; once in some runs of this test the first click did nothing."""
    for _ in range(3):
        page.get_by_role("button", name="Submit").click()
        with suppress(playwright.TimeoutError):
            page.wait_for_url("**/runs/flow-run/**", timeout=20_000)
        if service.runs():
            return
    pytest.fail("the form was submitted three times, and no run was created")


@pytest.fixture(scope="module", autouse=True)
def deployed(service: Service, tiny: Path) -> None:
    """Deployments, a worker, and a Dask cluster of two CPU workers and a training worker."""
    service.deploy("nowhere", "workspace", tiny, cpu_workers=2)
    service.worker()


def test_a_run_from_the_form_to_its_artifacts(
    service: Service, page: "playwright.Page", data: Path
) -> None:
    page.goto(f"{service.url}/deployments")
    page.get_by_text("retrain", exact=True).first.click()
    page.get_by_role("button", name="Run", exact=True).click()
    page.get_by_text("Custom run").click()
    field(page, "Data").fill(str(data))
    field(page, "Workspace").fill(str(service.folder / "from-the-form"))
    field(page, "Members").fill("0")
    page.get_by_role("button", name="Submit").click()
    page.get_by_text(re.compile("config.ensemble.members")).first.wait_for()
    keep(page, "form-refused")
    field(page, "Members").fill(str(MEMBERS))
    keep(page, "form")
    submit(service, page)
    run = service.runs()[0]["id"]
    page.goto(f"{service.url}/runs/flow-run/{run}")
    service.until(lambda: len(service.runs()) > 2, 120, "the stages to begin")
    keep(page, "running")
    page.goto("about:blank")  # its moving picture of the run would take a core
    state, message = service.ended(run, 600)
    assert state == "COMPLETED", message
    assert f" of {MEMBERS} members, KL " in message

    page.goto(f"{service.url}/runs/flow-run/{run}")
    keep(page, "run")
    for tab in ("Subflow Runs", "Artifacts", "Logs", "Parameters"):
        page.get_by_text(tab, exact=True).first.click()
        keep(page, f"run-{tab.split()[0].lower()}")
    found = service.call("POST", "/artifacts/latest/filter", {})
    assert {"run", "members", "kl", "report", "ensemble", "submission"} <= {a["key"] for a in found}
    for key in ("run", "members", "kl"):
        (artifact,) = (a for a in found if a["key"] == key)
        page.goto(f"{service.url}/artifacts/artifact/{artifact['latest_id']}")
        keep(page, f"artifact-{key}")
        if key != "kl":
            assert page.locator("img").evaluate("image => image.naturalWidth") == 792

    names = {run["name"] for run in service.runs()}
    assert {"retrain-data-demo", "features-data", "train-data-demo", "pool-data-demo"} <= names
    tasks = service.call("POST", "/task_runs/filter", {"limit": 200})
    trained = [task for task in tasks if task["name"].startswith("member ")]
    assert {task["name"] for task in trained} == {
        f"member {n} of {MEMBERS}" for n in range(1, MEMBERS + 1)
    }
    said = service.call("POST", "/logs/filter", {
        "logs": {"task_run_id": {"any_": [trained[0]["id"]]}}, "limit": 100,
    })  # fmt: skip
    assert [log["message"].partition(":")[0] for log in said if "epoch" in log["message"]] == [
        "epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3",
    ]  # fmt: skip
    workspace = Location.of(service.folder / "from-the-form")
    (record,) = list_ensembles(workspace)
    assert len(record.members) == MEMBERS
    assert report_of(workspace, record).exists()
    for member in record.members:
        assert load_record(workspace / "members" / member) is not None


def test_a_run_that_is_cancelled_ends_with_all_that_it_started(
    service: Service, page: "playwright.Page", data: Path
) -> None:
    workspace = service.folder / "cancelled"
    endless = {"training": {"epochs": 100000, "batch_size": 16}}
    where = {"data": str(data), "workspace": str(workspace)}
    run = service.start_run("retrain/retrain", where | endless)
    service.until(lambda: has_checkpoint(workspace), 240, "an epoch")
    assert members_of(workspace)
    nightly = service.start_run("nightly-retrain/nightly-retrain", where)
    state, message = service.ended(nightly)
    assert state == "COMPLETED"
    assert message.startswith("skipped: ")
    assert str(workspace) in message

    page.goto(f"{service.url}/runs/flow-run/{run}")
    page.get_by_role("button", name="Cancel", exact=True).click()
    page.get_by_role("button", name="Confirm").click()
    service.until(lambda: not members_of(workspace), 30, "the members' processes to end")
    assert service.ended(run, 60)[0] == "CANCELLED"
    keep(page, "cancelled")
    tasks = service.call("POST", "/task_runs/filter", {
        "flow_runs": {"parent_flow_run_id": {"any_": [run]}}, "limit": 200,
    })  # fmt: skip
    assert {t["state_type"] for t in tasks if t["name"].startswith("member")} == {"CANCELLED"}

    again = service.start_run("retrain/retrain", where)
    state, message = service.ended(again, 300)
    assert state == "COMPLETED", message
