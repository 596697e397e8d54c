"""Runs what docker/compose.yaml says where there is no engine: for tests of the image and the file.

A service is a network namespace of its own, with the names of the others in /etc/hosts, and a
container of buildah that has no isolation but its root folder. Commands, environments, volumes,
users and health checks are those that Docker Compose resolves. Limits of memory and processors,
capabilities and restarts are not enforced.
"""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

NETWORK = "10.213.77"
TOKEN = f"oc{secrets.token_hex(3)}"
"""Begins the names of bridge, links and namespaces of this process."""


def run(*command: str, **how: Any) -> subprocess.CompletedProcess[str]:
    """A command that must not fail."""
    return subprocess.run(command, check=True, capture_output=True, text=True, **how)


def _namespace(name: str) -> str:
    return f"{TOKEN}-{name}"


def _within(name: str) -> list[str]:
    # Not `ip netns exec`: it has mounts of its own, and containers would be mounted in one of them.
    return ["nsenter", f"--net=/run/netns/{_namespace(name)}"]


@dataclass
class Composition:
    """Services that were started, and how a command reaches one of them."""

    services: Mapping[str, Mapping[str, Any]]
    folder: Path
    containers: dict[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)

    def start(self, name: str) -> None:
        """Start a service's own command; its output is the file NAME.log."""
        service = self.services[name]
        with (self.folder / f"{name}.log").open("wb") as log:
            if name == "postgres":
                command = self._postgres(service)
            else:
                command = self.inside(name, service["command"])
            self.processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def inside(self, name: str, command: Sequence[str]) -> list[str]:
        """What runs a command in a service's container, as its user, with its environment."""
        service = self.services[name]
        options = ["--isolation", "chroot"]
        for variable, value in (service.get("environment") or {}).items():
            if value is not None:
                options += ["--env", f"{variable}={value}"]
        for volume in service.get("volumes", ()):
            mode = "ro" if volume.get("read_only") else "rw"
            options += ["--volume", f"{self.volume(volume['source'])}:{volume['target']}:{mode}"]
        container = self.containers[name]
        return [*_within(name), "buildah", "run", *options, container, "--", *command]

    def volume(self, name: str) -> Path:
        """A named volume, which the image's user may write to, as Docker makes it."""
        path = self.folder / "volumes" / name
        if not path.exists():
            path.mkdir(parents=True)
            os.chown(path, 10001, 10001)
        return path

    def _postgres(self, service: Mapping[str, Any]) -> list[str]:
        """PostgreSQL of this machine in place of the image, with what its environment asks for."""
        binaries = Path(max(Path("/usr/lib/postgresql").glob("*/bin")))
        given, data = service["environment"], self.folder / "postgres"
        data.mkdir()
        shutil.chown(data, "postgres")
        secret = self.folder / "password"
        secret.write_text(given["POSTGRES_PASSWORD"])
        shutil.chown(secret, "postgres")
        user = ("runuser", "-u", "postgres", "--")
        run(
            *user, str(binaries / "initdb"), "-D", str(data), "-U", given["POSTGRES_USER"],
            "--auth=scram-sha-256", f"--pwfile={secret}",
        )  # fmt: skip
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write(f"host all all {NETWORK}.0/24 scram-sha-256\n")
        # The image creates the database of POSTGRES_DB; here it is made by the single-user mode.
        run(
            *user, str(binaries / "postgres"), "--single", "-D", str(data), "postgres",
            input=f"CREATE DATABASE {given['POSTGRES_DB']};\n",
        )  # fmt: skip
        sockets = ["-k", str(data), "-c", "listen_addresses=*"]
        return [*_within("postgres"), *user, str(binaries / "postgres"), "-D", str(data), *sockets]

    def health(self, name: str) -> bool:
        """Whether the health check of a service passes now."""
        test = self.services[name]["healthcheck"]["test"]
        assert test[0] == "CMD"
        command = list(test[1:])
        if name == "postgres":
            command = [*_within(name), *command, "--host=127.0.0.1"]
        else:
            command = self.inside(name, command)
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def wait(self, name: str, condition: str, seconds: float = 240) -> None:
        """Wait for a condition of `depends_on`."""
        process, end = self.processes[name], time.monotonic() + seconds
        if condition == "service_completed_successfully":
            assert process.wait(seconds) == 0, self.printed(name)
            return
        while not self.health(name):
            assert process.poll() is None, self.printed(name)
            assert time.monotonic() < end, f"{name} is not healthy: {self.printed(name)}"
            time.sleep(1)

    def printed(self, name: str) -> str:
        """The end of what a service printed."""
        log = self.folder / f"{name}.log"
        return log.read_text(errors="replace")[-3000:] if log.exists() else ""

    def stop(self, name: str) -> None:
        """End a service's own command, as `docker compose stop` does."""
        _end(_namespace(name))

    def up(self) -> None:
        """Start all services, each after what it depends on."""
        waiting = dict(self.services)
        while waiting:
            ready = [
                name for name, service in waiting.items()
                if not set(service.get("depends_on", {})) & set(waiting)
            ]  # fmt: skip
            for name in ready:
                for other, how in waiting[name].get("depends_on", {}).items():
                    if other in self.services:
                        self.wait(other, how["condition"])
                self.start(name)
            for name in ready:
                del waiting[name]
        for name, service in self.services.items():
            if "healthcheck" in service:
                self.wait(name, "service_healthy")


@contextmanager
def composed(services: Mapping[str, Mapping[str, Any]], folder: Path) -> Iterator[Composition]:
    """Containers and a network for services; nothing of them is left behind."""
    names = list(services)
    hosts = [f"--add-host={name}:{NETWORK}.{i + 2}" for i, name in enumerate(names)]
    composition = Composition(services, folder)
    try:
        run("ip", "link", "add", TOKEN, "type", "bridge")
        run("ip", "link", "set", TOKEN, "up")
        for i, name in enumerate(names):
            _connect(_namespace(name), i)
            if services[name]["image"].startswith("overlap:"):
                image = f"localhost/{services[name]['image']}"
                made = run("buildah", "from", "--pull-never", *hosts, image)
                composition.containers[name] = made.stdout.strip()
        yield composition
    finally:
        for name in reversed(names):
            _end(_namespace(name))
            gone = ["ip", "netns", "del", _namespace(name)]
            subprocess.run(gone, check=False, capture_output=True)
            if name in composition.processes:
                composition.processes[name].wait()
        for container in composition.containers.values():
            subprocess.run(["buildah", "rm", container], check=False, capture_output=True)
        subprocess.run(["ip", "link", "del", TOKEN], check=False, capture_output=True)


def _connect(namespace: str, number: int) -> None:
    """A network namespace on the bridge."""
    end, inner = f"{TOKEN}-{number}", "eth0"
    run("ip", "netns", "add", namespace)
    run("ip", "link", "add", end, "type", "veth", "peer", "name", inner, "netns", namespace)
    run("ip", "link", "set", end, "master", TOKEN, "up")
    inside = ("ip", "-n", namespace)
    run(*inside, "address", "add", f"{NETWORK}.{number + 2}/24", "dev", inner)
    run(*inside, "link", "set", inner, "up")
    run(*inside, "link", "set", "lo", "up")
    # Nothing is at its other end; Dask asks how it would reach the world to find its own address.
    run(*inside, "route", "add", "default", "dev", inner)


def _end(namespace: str) -> None:
    """End every process of a namespace."""
    for sent, patience in ((signal.SIGTERM, 15.0), (signal.SIGKILL, 5.0)):
        for pid in _pids(namespace):
            try:
                os.kill(pid, sent)
            except ProcessLookupError:
                continue
        end = time.monotonic() + patience
        while _pids(namespace) and time.monotonic() < end:
            time.sleep(0.2)


def _pids(namespace: str) -> list[int]:
    listed = subprocess.run(
        ["ip", "netns", "pids", namespace], check=False, capture_output=True, text=True
    )
    return [int(pid) for pid in listed.stdout.split()]
