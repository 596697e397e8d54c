"""A deployment on a real server: a worker starts its run, which finds nothing to do.

The other tests of this folder, with trainings and a browser, run in `make test-nightly`.
"""

import json
import shutil
import urllib.request
from pathlib import Path

import pytest

from support.running_service import Service

pytestmark = pytest.mark.extended


def test_the_ui_and_a_deployment_of_a_finished_workspace(
    service: Service, finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    with urllib.request.urlopen(service.url, timeout=30) as answer:
        assert answer.status == 200
        assert "<script" in answer.read().decode()
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    (version,) = [folder.name for folder in workspace.glob("ensembles/*")]
    service.overlap("deploy", "--data", data, "--workspace", workspace, "--config", tiny)
    found = service.deployment("nightly-retrain/nightly-retrain")
    assert found["parameters"]["config"]["workspace"] == str(workspace)
    assert json.loads(json.dumps(found["parameter_openapi_schema"]))["properties"].keys() >= {
        "config"
    }
    service.worker()
    state, message = service.ended(service.start_run("nightly-retrain/nightly-retrain"), 200)
    assert (state, message) == ("COMPLETED", f"skipped: nothing changed since ensemble {version}")
