"""Hosts on one machine: network namespaces on one bridge, with a common file system."""

import os
import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from support.dask_processes import GPU, dask_process
from support.processes import OVERLAP, stop
from support.running_service import missing

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

    def cut(self, host: str) -> None:
        """Pull the plug of a host."""
        ip("-n", self.prefix + "switch", "link", "set", host, "down")

    def join(self, host: str) -> None:
        """Put it back."""
        ip("-n", self.prefix + "switch", "link", "set", host, "up")

    def slow(self, host: str, rate: str | None) -> None:
        """Let a host send at a rate of `tc`, such as 64kbit; None: as fast as it can."""
        limit = ["tbf", "rate", rate, "burst", "16kb", "latency", "1s"] if rate else []
        command = ["replace" if rate else "del", "dev", "eth0", "root", *limit]
        subprocess.run(["tc", "-n", self.prefix + host, "qdisc", *command], check=True)

    def left(self) -> list[str]:
        """Hosts that are there."""
        return [n for n in ip("netns", "list").split() if n.startswith(self.prefix)]

    def close(self) -> None:
        """Remove the hosts, and with them their ends of the bridge."""
        for name in self.left():
            assert ip("netns", "pids", name) == "", f"a process is left on {name}"
            ip("netns", "delete", name)


@contextmanager
def hosts() -> Iterator[Network]:
    """The hosts; the test is skipped where they cannot be made."""
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


@dataclass(frozen=True)
class Spread:
    """A service whose parts are on hosts of their own."""

    network: Network
    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    address: str = f"tcp://{NETWORK}.{HOSTS['scheduler']}:8786"
    """Of the scheduler."""

    def ask(self, path: str, content: str = "", patience: float = 0) -> str:
        """Ask the Prefect server, from the host of the flow."""
        address = f"http://{NETWORK}.{HOSTS['server']}:4200/api/{path}"
        command = [*self.network.on("flow"), sys.executable, "-c", ASK]
        command += [address, content, str(patience)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    def run(self, *arguments: object) -> subprocess.Popen[str]:
        """`overlap run` on the host of the flow, on this cluster."""
        command = [*self.network.on("flow"), OVERLAP, "run", *map(str, arguments)]
        return subprocess.Popen(
            [*command, "--cluster", self.address], env=self.environment, text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip


@contextmanager
def spread(network: Network, folder: Path) -> Iterator[Spread]:
    """A Prefect server, a scheduler, a CPU worker and a GPU worker; their output is in logs/."""
    logs = folder / "logs"
    logs.mkdir()
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_API_URL": f"http://{NETWORK}.{HOSTS['server']}:4200/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "DO_NOT_TRACK": "1",
        "COLUMNS": "200",
        "NO_COLOR": "1",
    }
    made = Spread(network, folder, environment)
    commands = {
        "scheduler": ("scheduler", "--port", "8786"),
        "cpu": ("worker", made.address, "--nthreads", "1", "--name", "cpu"),
        "gpu": ("worker", made.address, "--nthreads", "1", "--name", "gpu", *GPU),
    }
    with ExitStack() as opened:
        output = opened.enter_context((logs / "server").open("wb"))
        server = subprocess.Popen(
            [*network.on("server"), sys.executable, "-m", "prefect", "server", "start",
             "--host", f"{NETWORK}.{HOSTS['server']}", "--port", "4200", "--no-ui"],
            env=environment, stdout=output, stderr=output,
        )  # fmt: skip
        opened.callback(stop, server)
        for host, command in commands.items():
            place = () if host == "scheduler" else ("--local-directory", str(folder / host))
            listens = ("--host", f"{NETWORK}.{HOSTS[host]}", "--no-dashboard")
            opened.enter_context(
                dask_process(*command, *place, *listens, before=network.on(host), log=logs / host)
            )
        made.ask("health", patience=120)
        yield made
