"""A run over several hosts: network namespaces on one bridge, with a common file system."""

import json
import re
from pathlib import Path

import pytest

from overlap.io.location import Location
from overlap.training.placement import placements
from support.network_hosts import NETWORK, hosts, ip, spread

pytestmark = pytest.mark.nightly


def test_server_scheduler_and_workers_on_hosts_of_their_own(
    data: Path, tiny: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    with hosts() as network:
        (route,) = ip("-n", network.prefix + "flow", "route").splitlines()
        assert route.startswith(f"{NETWORK}.0/24 dev eth0 ")  # and none that leads out
        with spread(network, tmp_path) as service:
            run = service.run("--data", data, "--config", tiny, "--workspace", workspace)
            said, errors = run.communicate(timeout=400)
            assert run.returncode == 0, errors
            (flow,) = [
                flow
                for flow in json.loads(service.ask("flow_runs/filter", "{}"))
                if flow["name"].startswith("retrain")
            ]
            assert flow["state"]["type"] == "COMPLETED"
    assert "ensemble of 2" in said
    assert len(list(workspace.glob("ensembles/*/submission.csv"))) == 1
    told = (tmp_path / "logs" / "scheduler").read_text()
    registered = re.findall(r"Register worker addr: tcp://([\d.]+):\d+ name: (\w+)", told)
    assert sorted(registered) == [(f"{NETWORK}.3", "cpu"), (f"{NETWORK}.4", "gpu")]
    places = [p for f in workspace.glob("members/*") for p in placements(Location.of(f))]
    assert len(places) == 2
    assert all(place.worker.startswith(f"tcp://{NETWORK}.4:") for place in places)
