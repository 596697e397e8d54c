"""How a run ends, for a person in front of the UI: promoted, not promoted, failed."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.browser import keep, playwright
from support.running_service import Service
from support.view_server import serving

pytestmark = pytest.mark.nightly

NOT_BETTER = "published, not promoted: not better than the trivial prediction"


@pytest.fixture(scope="module", autouse=True)
def deployed(service: Service, tiny: Path) -> None:
    """Deployments, a worker and a Dask cluster."""
    service.deploy("nowhere", "workspace", tiny)
    service.worker()


@pytest.fixture
def view(service: Service) -> Iterator[tuple[str, Path]]:
    """The web page of a workspace that the run creates: its address, and the workspace."""
    workspace = service.folder / "shown"
    with serving(workspace) as (_, address):
        yield address, workspace


def walk(page: "playwright.Page", service: Service, run: str, outcome: str) -> str:
    """Look at the page of a run and its tabs; the text of all of them."""
    page.goto(f"{service.url}/runs/flow-run/{run}")
    page.get_by_text("Logs", exact=True).first.wait_for()
    keep(page, f"outcome-{outcome}")
    said = []
    for tab in ("Logs", "Subflow Runs", "Artifacts", "Details"):
        page.get_by_text(tab, exact=True).first.click()
        keep(page, f"outcome-{outcome}-{tab.split()[0].lower()}")
        said.append(page.inner_text("body"))
    return "\n".join(said)


def artifact(service: Service, run: str, key: str) -> str:
    """The id of an artifact of a run or of one of its sub-flows."""
    found = service.call("POST", "/artifacts/filter", {"artifacts": {"key": {"any_": [key]}}})
    return str(next(one["id"] for one in found if one["flow_run_id"] == run))


def test_a_promoted_run_and_its_links(
    service: Service, page: "playwright.Page", view: tuple[str, Path], data: Path
) -> None:
    address, workspace = view
    where = {"data": str(data), "workspace": str(workspace), "view": {"url": address}}
    run = service.start_run("retrain/retrain", where)
    state, message = service.ended(run, 400)
    assert (state, "; promoted: " in message) == ("COMPLETED", True), message

    said = walk(page, service, run, "promoted")
    assert "Completed" in said
    assert "epoch 3 of 3" in said
    page.goto(f"{service.url}/artifacts/artifact/{artifact(service, run, 'run')}")
    page.get_by_text("champion: promoted").first.wait_for()
    keep(page, "outcome-promoted-run-artifact")

    for key in ("ensemble", "report"):
        page.goto(f"{service.url}/artifacts/artifact/{artifact(service, run, key)}")
        link = page.locator(f"a[href^='{address}']").first
        link.wait_for()
        page.goto(str(link.get_attribute("href")))
        assert page.title()
        keep(page, f"outcome-promoted-{key}")
    page.goto(address)
    assert "Champion" in page.inner_text("body")
    keep(page, "outcome-promoted-view")


def test_a_run_that_is_not_promoted(
    service: Service, page: "playwright.Page", finished, data: Path, tmp_path: Path
) -> None:
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    (workspace / "champion.json").unlink()
    where = {"data": str(data), "workspace": str(workspace)}
    condition = {"promotion": {"better_than_trivial": "if-measured"}}
    run = service.start_run("retrain/retrain", where | condition)
    state, message = service.ended(run, 300)
    assert (state, NOT_BETTER in message) == ("COMPLETED", True), message
    assert NOT_BETTER in walk(page, service, run, "not-promoted")
    page.goto(f"{service.url}/artifacts/artifact/{artifact(service, run, 'run')}")
    page.get_by_text("not better than the trivial prediction").first.wait_for()
    keep(page, "outcome-not-promoted-run-artifact")
    assert json.loads((workspace / "champion.json").read_text()).get("version") is None


def test_a_run_that_fails(
    service: Service, page: "playwright.Page", data: Path, tmp_path: Path
) -> None:
    broken = Path(shutil.copytree(data, tmp_path / "broken"))
    table = broken / "train_answer.csv"
    lines = table.read_text().splitlines()
    lines[1] = re.sub(r",.*", ",7,0,0,0,0,0", lines[1])
    table.write_text("\n".join(lines) + "\n")
    where = {"data": str(broken), "workspace": str(tmp_path / "workspace")}
    run = service.start_run("retrain/retrain", where)
    state, message = service.ended(run, 200)
    assert state == "FAILED"
    assert "train_answer.csv" in message.splitlines()[0]
    said = walk(page, service, run, "failed")
    assert "Failed" in said
    assert "train_answer.csv" in said
