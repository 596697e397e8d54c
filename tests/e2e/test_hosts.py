"""A run over several hosts: network namespaces on one bridge, with a common file system."""

import json
import os
import re
import secrets
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from clusters import GPU, dask_process
from processes import OVERLAP, stop
from running import missing
from steps import TINY

from overlap.storage import Location
from overlap.training.placement import placements

pytestmark = pytest.mark.slow

NETWORK = "10.77.0"
"""Private addresses that only these hosts have; there is no way out of it."""
HOSTS = {"server": 1, "scheduler": 2, "cpu": 3, "gpu": 4, "flow": 5}
ASK = """
import json, sys, time, urllib.request
address, content, patience = sys.argv[1], sys.argv[2].encode() or None, float(sys.argv[3])
end = time.monotonic() + patience
while True:
    asked = urllib.request.Request(address, content, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(asked, timeout=5) as answer:
            sys.stdout.write(answer.read().decode())
            break
    except OSError:
        if time.monotonic() > end:
            raise
        time.sleep(0.3)
"""
"""A program that asks a web server, and waits until there is one."""


def ip(*arguments: str) -> str:
    """`ip`, of iproute2."""
    done = subprocess.run(["ip", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"ip {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout


@dataclass(frozen=True)
class Network:
    """Hosts on one bridge."""

    prefix: str

    def on(self, host: str) -> tuple[str, ...]:
        """What a command begins with that runs on a host."""
        return ("ip", "netns", "exec", self.prefix + host)

    def add(self, host: str, number: int) -> None:
        """Make a host, and join it to the bridge."""
        space, switch = self.prefix + host, self.prefix + "switch"
        ip("netns", "add", space)
        ip("-n", space, "link", "set", "lo", "up")
        ip("link", "add", "eth0", "netns", space, "type", "veth", "peer", host, "netns", switch)
        ip("-n", space, "address", "add", f"{NETWORK}.{number}/24", "dev", "eth0")
        ip("-n", space, "link", "set", "eth0", "up")
        ip("-n", switch, "link", "set", host, "master", "bridge", "up")

    def left(self) -> list[str]:
        """Hosts that are there."""
        return [n for n in ip("netns", "list").split() if n.startswith(self.prefix)]

    def close(self) -> None:
        """Remove the hosts, and with them their ends of the bridge."""
        for name in self.left():
            assert ip("netns", "pids", name) == "", f"a process is left on {name}"
            ip("netns", "delete", name)


@pytest.fixture
def network() -> Iterator[Network]:
    """The hosts."""
    if os.geteuid() != 0:
        missing("network namespaces need root")
    if shutil.which("ip") is None:
        missing("network namespaces need ip, of iproute2")
    made = Network(f"overlap-{secrets.token_hex(3)}-")
    try:
        ip("netns", "add", made.prefix + "switch")
    except OSError as error:
        missing(f"network namespaces cannot be made here: {error}")
    try:
        ip("-n", made.prefix + "switch", "link", "add", "bridge", "type", "bridge")
        ip("-n", made.prefix + "switch", "link", "set", "bridge", "up")
        for host, number in HOSTS.items():
            made.add(host, number)
        yield made
    finally:
        made.close()
    assert made.left() == []


@pytest.fixture
def ask(network: Network) -> Callable[..., str]:
    """Asks the Prefect server, from the host of the flow."""

    def asked(path: str, content: str = "", patience: float = 0) -> str:
        address = f"http://{NETWORK}.{HOSTS['server']}:4200/api/{path}"
        command = [*network.on("flow"), sys.executable, "-c", ASK, address, content, str(patience)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return asked


def test_server_scheduler_and_workers_on_hosts_of_their_own(
    network: Network, ask: Callable[..., str], data: Path, tmp_path: Path
) -> None:
    workspace, logs, home = tmp_path / "workspace", tmp_path / "logs", tmp_path / "prefect"
    logs.mkdir()
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY))
    environment = os.environ | {
        "PREFECT_HOME": str(home),
        "PREFECT_API_URL": f"http://{NETWORK}.{HOSTS['server']}:4200/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    address = f"tcp://{NETWORK}.{HOSTS['scheduler']}:8786"
    (route,) = ip("-n", network.prefix + "flow", "route").splitlines()
    assert route.startswith(f"{NETWORK}.0/24 dev eth0 ")  # and none that leads out
    with ExitStack() as opened:
        output = opened.enter_context((logs / "server").open("wb"))
        server = subprocess.Popen(
            [*network.on("server"), sys.executable, "-m", "prefect", "server", "start",
             "--host", f"{NETWORK}.{HOSTS['server']}", "--port", "4200", "--no-ui"],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
        opened.callback(stop, server)
        commands = {
            "scheduler": ("scheduler", "--port", "8786"),
            "cpu": ("worker", address, "--nthreads", "1", "--name", "cpu"),
            "gpu": ("worker", address, "--nthreads", "1", "--name", "gpu", *GPU),
        }
        for host, command in commands.items():
            place = () if host == "scheduler" else ("--local-directory", str(tmp_path / host))
            opened.enter_context(
                dask_process(
                    *command,
                    *place,
                    "--host",
                    f"{NETWORK}.{HOSTS[host]}",
                    "--no-dashboard",
                    before=network.on(host),
                    log=logs / host,
                )
            )
        ask("health", patience=120)
        run = subprocess.run(
            [*network.on("flow"), OVERLAP, "run", "--data", str(data), "--config", str(config),
             "--workspace", str(workspace), "--cluster", address],
            env=environment, capture_output=True, text=True, timeout=400, check=False,
        )  # fmt: skip
        assert run.returncode == 0, run.stderr
        (flow,) = [
            flow
            for flow in json.loads(ask("flow_runs/filter", "{}"))
            if flow["name"].startswith("retrain")
        ]
        assert flow["state"]["type"] == "COMPLETED"
    assert "ensemble of 2" in run.stdout
    assert len(list(workspace.glob("ensembles/*/submission.csv"))) == 1
    told = (logs / "scheduler").read_text()
    registered = re.findall(r"Register worker addr: tcp://([\d.]+):\d+ name: (\w+)", told)
    assert sorted(registered) == [(f"{NETWORK}.3", "cpu"), (f"{NETWORK}.4", "gpu")]
    places = [p for f in workspace.glob("members/*") for p in placements(Location.of(f))]
    assert len(places) == 2
    assert all(place.worker.startswith(f"tcp://{NETWORK}.4:") for place in places)
