"""The image is built, and the service of docker/compose.yaml runs in it: `make test-image`.

Without an engine. It needs root, podman and buildah, `ip` and PostgreSQL, all of them Debian's
packages, and a base image under the name that docker/Dockerfile gives it. Where no registry of
images can be reached, Debian makes one (of the same Python and the same C library):

    debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates bookworm base
    ln -s python3 base/usr/bin/python
    tar --directory base --create . | podman import - docker.io/library/python:3.11-slim-bookworm

Options for the build, such as secrets with the address of an index, come from BUILD_OPTIONS.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.compose_runner import Composition, composed

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "docker" / "Dockerfile"
IMAGE = "overlap:cpu"

pytestmark = pytest.mark.nightly


def base_image() -> str:
    found = re.search(r"(?m)^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE.read_text())
    assert found
    return found[1]


def missing() -> str | None:
    """What this machine lacks for these tests."""
    if os.environ.get("TEST_IMAGE") != "1":
        return "takes 4 to 14 minutes and 10 GB of disk: make test-image"
    if os.geteuid() != 0:
        return "needs root, for network namespaces and containers without an engine"
    lacking = [name for name in ("podman", "buildah", "ip", "nsenter") if not shutil.which(name)]
    if lacking:
        return f"apt-get install podman buildah iproute2: there is no {', '.join(lacking)}"
    if not list(Path("/usr/lib/postgresql").glob("*/bin/initdb")):
        return "apt-get install postgresql: there is no PostgreSQL"
    known = subprocess.run(["podman", "image", "exists", base_image()], check=False)
    if known.returncode:
        return f"there is no image {base_image()}: pull it, or make it as {__file__} says"
    return None


@pytest.fixture(scope="module")
def image() -> str:
    """The target cpu, built from this tree."""
    reason = missing()
    if reason:
        pytest.skip(reason)
    # --format docker: the other format has no health checks.
    subprocess.run(
        [
            "podman", "build", "--isolation", "chroot", "--network", "host", "--format", "docker",
            "--layers", "--file", str(DOCKERFILE), "--target", "cpu", "--tag", IMAGE,
            *shlex.split(os.environ.get("BUILD_OPTIONS", "")), str(ROOT),
        ],
        check=True,
    )  # fmt: skip
    return IMAGE


@pytest.fixture(scope="module")
def service(
    image: str, data: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Composition]:
    """All services of the profile cpu, with a small data set, healthy."""
    program = shutil.which("docker-compose", path=str(Path(sys.executable).parent))
    program = program or shutil.which("docker-compose")
    assert program
    done = subprocess.run(
        [program, "--file", str(ROOT / "docker" / "compose.yaml"), "--env-file", os.devnull,
         "--profile", "cpu", "config", "--format", "json"],
        env={"PATH": os.environ["PATH"], "POSTGRES_PASSWORD": "with: a@s'w#rd/"},
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("composed")
    # Other users are in it: PostgreSQL's, and the image's.
    for above in (folder, folder.parent, folder.parent.parent):
        above.chmod(above.stat().st_mode | 0o011)
    with composed(json.loads(done.stdout)["services"], folder) as composition:
        shutil.copytree(data, composition.volume("data"), dirs_exist_ok=True)
        composition.up()
        yield composition


def asked(service: Composition, name: str, *command: str, code: int = 0) -> str:
    """What a command prints in a service's container."""
    done = subprocess.run(
        service.inside(name, command), check=False, capture_output=True, text=True, timeout=600
    )
    assert (done.returncode == 0) == (code == 0), done.stdout + done.stderr
    return done.stdout


def test_the_image_has_what_it_needs_and_no_more(service: Composition) -> None:
    assert asked(service, "scheduler", "id", "--user").strip() == "10001"
    assert "overlap [OPTIONS]" in asked(service, "scheduler", "overlap", "--help")
    for module in ("tensorflow", "asyncpg", "s3fs", "espeakng_loader", "onnxruntime"):
        asked(service, "scheduler", "python", "-c", f"import {module}")
    for module in ("pytest", "mypy", "moto", "hatchling", "pip", "uv"):
        asked(service, "scheduler", "python", "-c", f"import {module}", code=1)
    asked(service, "scheduler", "touch", "/app/x", code=1)
    asked(service, "scheduler", "touch", "/opt/overlap/x", code=1)


def test_an_image_keeps_nothing_of_the_build(service: Composition) -> None:
    for path in ("/root/.cache", "/build", "/etc/pip.conf", "/etc/uv", "/run/secrets"):
        asked(service, "scheduler", "test", "-e", path, code=1)


def test_a_run_from_the_command_line_of_the_readme(service: Composition) -> None:
    (line,) = re.findall(
        r"(?m)^ +docker compose -f docker/compose.yaml exec (.+)$",
        (ROOT / "README.md").read_text(),
    )
    name, *command = shlex.split(line, comments=True)
    asked(service, name, *command, "--watch")
    workspace = service.volume("workspace")
    (record,) = workspace.glob("ensembles/*/ensemble.json")
    assert json.loads(record.read_text())["kl"] is not None
    assert len(list(workspace.glob("members/*/member.json"))) == 3
    # Features and members were computed by the workers, which have no Prefect API.
    assert "process" in asked(service, name, "prefect", "work-pool", "inspect", "overlap-process")
    assert list(service.volume("cache").rglob("*.nbi"))


def test_a_health_check_sees_what_is_dead(service: Composition) -> None:
    assert service.health("cpu-worker")
    service.stop("scheduler")
    assert not service.health("scheduler")
