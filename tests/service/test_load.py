"""110 members' worth of task runs and 2,000 blocks: the server, on SQLite, goes on answering."""

import statistics
import sys
import time
from pathlib import Path

import pytest

from support.running_service import Service

pytestmark = pytest.mark.nightly

FLOW = Path(__file__).with_name("load_flow.py")
QUERY_SECONDS = 1.0


def test_the_server_answers_while_a_large_run_works(service: Service) -> None:
    address = service.dask()
    large = service.start(sys.executable, FLOW, address, service.folder / "w", name="large")
    service.until(service.runs, 120, "the run to begin")
    run = service.runs()[0]["id"]
    took: list[float] = []
    while large.poll() is None:
        for method, path, content in (
            ("GET", f"/flow_runs/{run}", None),
            ("POST", "/task_runs/filter", {"limit": 200}),
            ("POST", "/flow_runs/filter", {"limit": 50}),
            ("POST", "/artifacts/latest/filter", {"limit": 200}),
        ):
            began = time.monotonic()
            service.call(method, path, content)
            took.append(time.monotonic() - began)
        time.sleep(0.5)
    assert large.returncode == 0, (service.folder / "large.log").read_text()[-3000:]
    assert service.run_state(run)[0] == "COMPLETED"
    tasks = service.call("POST", "/task_runs/count", {})
    assert tasks >= 111
    twentieths = statistics.quantiles(took, n=20)
    print(f"{len(took)} queries: median {statistics.median(took):.3f} s, "
          f"95 % within {twentieths[-1]:.3f} s, longest {max(took):.3f} s")  # fmt: skip
    assert len(took) > 40
    assert twentieths[-1] < QUERY_SECONDS
