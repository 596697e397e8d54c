"""`tracking.mlflow`: what a real MLflow server contains after a run.

Without MLflow the test is skipped. MLFLOW_SERVER_PYTHON names an interpreter with MLflow's server;
the client alone (`mlflow-skinny`) has none.
"""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from support.processes import OVERLAP, free_port, stop, wait_for
from support.running_service import missing

pytestmark = [
    pytest.mark.nightly,
    # MLflow's own types give this warning when it is imported.
    pytest.mark.filterwarnings("ignore:.*Any type hint is inferred as AnyType"),
]

QUIET = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true"}


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of an MLflow server on the loopback."""
    python = os.environ.get("MLFLOW_SERVER_PYTHON") or sys.executable
    if find_spec("mlflow") is None:
        missing("MLflow is not installed (extra mlflow)")
    if python == sys.executable and find_spec("flask") is None:
        missing("MLflow's server is not installed; name one with MLFLOW_SERVER_PYTHON")
    folder, port = tmp_path_factory.mktemp("mlflow"), free_port()
    url = f"http://127.0.0.1:{port}"
    command = [python, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port),
               "--workers", "1", "--backend-store-uri", f"sqlite:///{folder}/db.sqlite",
               "--artifacts-destination", str(folder / "artifacts")]  # fmt: skip
    with (folder / "server.log").open("wb") as log:
        server = subprocess.Popen(command, env=os.environ | QUIET, stdout=log, stderr=log)
    try:
        wait_for(f"{url}/health", server, 280)
        yield url
    finally:
        stop(server)


def test_a_run_is_logged_with_its_members_once(
    tracker: str, finished, data: Path, tiny: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    os.environ.update(QUIET)
    from mlflow import pyfunc
    from mlflow.tracking import MlflowClient

    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    (version,) = [folder.name for folder in workspace.glob("ensembles/*")]
    command = [OVERLAP, "run", "--data", data, "--workspace", workspace, "--config", tiny,
               "--set", "tracking.mlflow=true"]  # fmt: skip
    for _ in range(2):
        done = subprocess.run(
            [*map(str, command)], env=environment | {"MLFLOW_TRACKING_URI": tracker},
            capture_output=True, text=True, timeout=280, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert "was not logged" not in done.stdout + done.stderr

    client = MlflowClient(tracker)
    experiment = client.get_experiment_by_name("overlap")
    runs = client.search_runs([experiment.experiment_id])
    (parent,) = [run for run in runs if "overlap.version" in run.data.tags]
    members = [run for run in runs if "overlap.member" in run.data.tags]
    assert parent.data.tags["overlap.version"] == version
    assert parent.data.params["preset"] == "demo"
    assert parent.data.metrics["kl"] > 0
    found = {item.path for item in client.list_artifacts(parent.info.run_id)}
    assert found >= {"report.html", "submission.csv", "ensemble.json", "curves"}
    assert len(members) == 2
    for member in members:
        assert member.data.tags["mlflow.parentRunId"] == parent.info.run_id
        history = client.get_metric_history(member.info.run_id, "loss")
        assert [point.step for point in history] == [1, 2, 3]
    os.environ["MLFLOW_TRACKING_URI"] = tracker
    try:
        model = pyfunc.load_model(f"runs:/{members[0].info.run_id}/model")
    finally:
        del os.environ["MLFLOW_TRACKING_URI"]
    (given,) = model.metadata.signature.inputs.inputs
    assert (given.name, given.type) == ("decibels", np.dtype(np.float16))
    decibels = np.zeros((2, *given.shape[1:]), np.float16)
    (predicted,) = model.predict({"decibels": decibels}).values()
    assert predicted.shape == (2, len(model.metadata.metadata["words"]))


def test_a_tracker_that_does_not_answer_fails_no_run(
    tracker: str, finished, data: Path, tiny: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    command = [OVERLAP, "run", "--data", data, "--workspace", workspace, "--config", tiny,
               "--set", "tracking.mlflow=true"]  # fmt: skip
    nobody = {"MLFLOW_TRACKING_URI": f"http://127.0.0.1:{free_port()}"}
    done = subprocess.run(
        [*map(str, command)], env=environment | nobody,
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert (done.stdout + done.stderr).count("was not logged") == 1
