"""A run whose process dies with the worker that would have told of it."""

from pathlib import Path

import psutil
import pytest

from support.processes import has_checkpoint
from support.running_service import Service, serving

pytestmark = pytest.mark.nightly


def test_a_silent_run_is_marked_crashed_and_a_new_one_finishes_the_work(
    service: Service, data: Path, tiny: Path
) -> None:
    workspace = service.folder / "w"
    service.deploy(data, workspace, tiny)
    worker = service.worker("worker-that-dies")
    run = service.start_run("retrain/retrain", {"training": {"epochs": 100000, "batch_size": 16}})
    service.until(lambda: has_checkpoint(workspace), 240, "an epoch")
    for process in (*psutil.Process(worker.pid).children(recursive=True), worker):
        process.kill()

    # Heartbeats come every 30 s, Prefect's shortest; 90 s without one are the limit.
    service.until(lambda: service.run_state(run)[0] != "RUNNING", 180, "the run to be ended")
    state, message = service.run_state(run)
    assert state == "CRASHED"
    assert "heartbeat" in message

    service.worker()
    state, message = service.ended(service.start_run("retrain/retrain"), 300)
    assert state == "COMPLETED", message
    assert "of 2 members" in message


def test_a_server_that_wants_a_password_says_so(
    tmp_path_factory: pytest.TempPathFactory, data: Path
) -> None:
    folder = tmp_path_factory.mktemp("protected")
    with serving(folder, PREFECT_SERVER_API_AUTH_STRING="user:secret") as service:
        deploy = ("deploy", "--data", data)
        assert "PREFECT_API_AUTH_STRING=USER:PASSWORD" in service.overlap(*deploy, code=2)
        known = service.overlap(*deploy, PREFECT_API_AUTH_STRING="user:secret")
        assert "retrain, nightly-retrain, predict" in known
