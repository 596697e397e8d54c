"""What docker/ names exists: programs, options, settings, ports, services, images, versions."""

import fnmatch
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml

from flows.service.environment import QUIET_HOSTS
from overlap.errors import UserError
from overlap.view.settings import ViewSettings
from support.command_lines import refusal

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"
DOCKERFILE = (DOCKER / "Dockerfile").read_text()
INSTRUCTIONS = re.sub(r"\\\n", " ", re.sub(r"(?m)^\s*#.*\n", "", DOCKERFILE)).splitlines()
PROGRAMS = {"dask", "overlap", "prefect"}


def compose(*options: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Docker Compose itself, without an engine."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which("docker-compose", path=os.pathsep.join([beside, os.environ["PATH"]]))
    assert program, "docker-compose is not installed; `make setup` installs it"
    return subprocess.run(
        [program, "--file", str(DOCKER / "compose.yaml"), "--env-file", os.devnull, *options],
        env={"PATH": os.environ["PATH"], "HOME": str(ROOT)} | environment,
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def configured(*profiles: str, more: Sequence[str] = (), **environment: str) -> dict[str, Any]:
    """The configuration as Compose understands it."""
    chosen = [word for name in profiles for word in ("--profile", name)]
    chosen += [word for name in more for word in ("--file", str(DOCKER / name))]
    done = compose(*chosen, "config", "--format", "json", POSTGRES_PASSWORD="secret", **environment)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def config() -> dict[str, Any]:
    return configured("*")


@pytest.fixture(scope="module")
def services(config: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return config["services"]


def ours(services: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {n: s for n, s in services.items() if s["image"].startswith("overlap:")}


def options(service: dict[str, Any]) -> dict[str, str]:
    """Options of a service's command, --name value and --name=value alike."""
    words = [word for part in service["command"] for word in part.split("=", 1)]
    return {a: b for a, b in itertools.pairwise(words) if a.startswith("--")}


def port_of(service: dict[str, Any]) -> set[int]:
    """Ports that a service listens on, from its command."""
    given, program = options(service), service["command"][0]
    found = {int(given[name]) for name in ("--port",) if name in given}
    if "--dashboard-address" in given:
        found.add(int(given["--dashboard-address"].rpartition(":")[2]))
    if program == "prefect" and "--with-healthcheck" in service["command"]:
        found.add(prefect.settings.PREFECT_WORKER_WEBSERVER_PORT.value())
    return found


# --- compose -----------------------------------------------------------------------------------


def test_nothing_starts_without_a_password() -> None:
    done = compose("config")
    assert done.returncode != 0
    assert "POSTGRES_PASSWORD" in done.stderr
    assert "docker/.env" in done.stderr


def test_either_kind_of_trainer_and_the_store_on_request() -> None:
    plain = {"postgres", "server", "setup", "prefect-worker", "scheduler", "cpu-worker"}
    assert set(configured("cpu")["services"]) == plain | {"cpu-trainer"}
    assert set(configured("gpu", "s3")["services"]) == plain | {"gpu-worker", "s3"}
    assert set(configured("cpu", "view")["services"]) == plain | {"cpu-trainer", "view"}
    chosen = re.search(r"(?m)^COMPOSE_PROFILES=(\w+)$", (DOCKER / ".env.example").read_text())
    assert chosen
    assert chosen[1] == "cpu"


def test_every_command_is_accepted_by_its_program(services: dict[str, dict[str, Any]]) -> None:
    found = ours(services)
    assert {service["command"][0] for service in found.values()} == PROGRAMS
    refused = [refusal(service["command"]) for service in found.values()]
    assert [reason for reason in refused if reason] == []


@pytest.mark.parametrize(
    "command",
    ["dask worker tcp://s:1 --nthread=1", "dask schedule", "prefect worker start --pol x",
     "prefect sever start", "overlap deploy --data D --clutser x", "overlap deply", "uvicorn x"],
)  # fmt: skip
def test_a_command_with_a_mistake_is_seen(command: str) -> None:
    assert refusal(shlex.split(command))


def test_the_page_of_the_workspace_may_start(services: dict[str, dict[str, Any]]) -> None:
    view, address = services["view"], "https://team.example/overlap"
    assert refusal(view["command"]) is None
    given = options(view)
    settings = ViewSettings(given["--host"], int(given["--port"]), "0" * 32, given["--base-url"])
    settings.check()
    assert settings.port == view["ports"][0]["target"]
    with pytest.raises(UserError) as refused:
        replace(settings, token=None).check()
    assert refused.value.code == "token-required"
    other = configured("view", OVERLAP_VIEW_URL=address)["services"]["view"]
    assert options(other)["--base-url"] == address


def test_options_of_deploy_come_from_the_environment() -> None:
    more = '--preset fast --members 15 --cron "0 2 * * *" --timezone Europe/Berlin'
    setup = configured(OVERLAP_DEPLOY=more, OVERLAP_DATA="s3://overlap/data")["services"]["setup"]
    assert refusal(setup["command"]) is None
    assert setup["command"][-8:] == shlex.split(more)
    assert "s3://overlap/data" in setup["command"]


def test_the_example_names_every_variable(services: dict[str, Any]) -> None:
    used = set(re.findall(r"\$\{(\w+)", (DOCKER / "compose.yaml").read_text()))
    used |= set(re.findall(r"(?m)^ +(\w+):$", (DOCKER / "compose.yaml").read_text())) & {
        name for service in services.values() for name in service.get("environment") or {}
    }
    named = set(re.findall(r"(?m)^#?([A-Z_]+)=", (DOCKER / ".env.example").read_text()))
    assert named - {"COMPOSE_PROFILES"} == used


def test_addresses_name_services_and_ports_that_listen(services: dict[str, Any]) -> None:
    listening = {name: port_of(service) for name, service in ours(services).items()}
    listening |= {"postgres": {5432}, "s3": {7070}}
    example = (DOCKER / ".env.example").read_text()
    for name, service in services.items():
        environment = dict(service.get("environment") or {})
        ui = environment.pop("PREFECT_UI_URL", None)  # where a browser on this machine finds it
        assert ui in (None, f"http://127.0.0.1:{services['server']['ports'][0]['published']}")
        texts = [*map(str, environment.values()), *service.get("healthcheck", {}).get("test", ())]
        texts += [*service["command"], example] if service.get("command") else []
        if name == "setup":  # links for a browser on this machine
            page = f"view.url=http://127.0.0.1:{services['view']['ports'][0]['published']}"
            texts.remove(page)
        for _, host, port in re.findall(r"(tcp|http)://([\w.-]+):(\d+)", " ".join(texts)):
            assert int(port) in listening[name if host == "127.0.0.1" else host], (name, host, port)
        for published in service.get("ports", ()):
            assert published["target"] in listening[name]
            assert published["host_ip"] == "127.0.0.1"
        if "PREFECT_SERVER_DATABASE_HOST" in environment:
            assert int(environment["PREFECT_SERVER_DATABASE_PORT"]) in listening["postgres"]
            database = services[environment["PREFECT_SERVER_DATABASE_HOST"]]["environment"]
            for ours_, theirs in (("USER", "USER"), ("NAME", "DB"), ("PASSWORD", "PASSWORD")):
                mine = environment[f"PREFECT_SERVER_DATABASE_{ours_}"]
                assert mine == database[f"POSTGRES_{theirs}"]


def test_every_service_tells_its_health_and_is_waited_for(services: dict[str, Any]) -> None:
    for name, service in services.items():
        for other, how in service.get("depends_on", {}).items():
            ends = services[other].get("restart") == "no"
            wanted = "service_completed_successfully" if ends else "service_healthy"
            assert how["condition"] == wanted, (name, other)
            assert ends or "healthcheck" in services[other]
    with_address = {name for name, service in ours(services).items() if "healthcheck" in service}
    assert with_address == set(ours(services)) - {"setup"}
    for name in with_address:
        assert services[name]["environment"]["HEALTH_URL"]


def test_prefects_settings_exist(services: dict[str, Any]) -> None:
    given = {name for service in services.values() for name in service.get("environment") or {}}
    given |= set(re.findall(r"\b(PREFECT_\w+)=", DOCKERFILE))
    given = {name for name in given if name.startswith("PREFECT_")}
    assert len(given) > 8
    assert [name for name in given if not hasattr(prefect.settings, name)] == []


def test_images_are_built_here_once_or_have_a_version(services: dict[str, Any]) -> None:
    stages = set(re.findall(r"(?m)^FROM \S+ AS (\S+)$", DOCKERFILE))
    built: list[str] = []
    for service in services.values():
        _, _, tag = service["image"].rpartition(":")
        if service["image"].startswith("overlap:"):
            assert tag in stages
            assert service["pull_policy"] == ("build" if "build" in service else "never")
            if "build" in service:
                assert service["build"]["target"] == tag
                assert (ROOT / service["build"]["dockerfile"]).is_file()
                built.append(service["image"])
        else:
            assert re.search(r"\d", tag)
    assert sorted(built) == ["overlap:cpu", "overlap:gpu"]


def test_flow_runs_of_the_worker_come_from_the_pool_of_the_deployments(
    config: dict[str, Any],
) -> None:
    content = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    (pool,) = {entry["work_pool"]["name"] for entry in content["deployments"]}
    assert options(config["services"]["prefect-worker"])["--pool"] == pool
    # Containers of the pool overlap-docker join the same network and see the same volumes.
    file = ROOT / "deployments" / "pools" / "docker.json"
    fields = json.loads(file.read_text())["variables"]["properties"]
    assert fields["networks"]["default"] == [config["networks"]["default"]["name"]]
    assert fields["image"]["default"] in {s["image"] for s in config["services"].values()}
    mounted = {v["target"]: v["source"] for v in config["services"]["prefect-worker"]["volumes"]}
    for volume in fields["volumes"]["default"]:
        name, target, *_ = volume.split(":")
        assert name == config["volumes"][mounted[target]]["name"]


def test_trainers_offer_what_training_asks_for(services: dict[str, Any]) -> None:
    from tasks.on_worker import TRAINING_RESOURCE

    offered = {
        name: options(service).get("--resources") for name, service in ours(services).items()
    }
    assert {name for name, offer in offered.items() if offer} == {"cpu-trainer", "gpu-worker"}
    (wanted,) = (f"{name}={amount}" for name, amount in TRAINING_RESOURCE.items())
    command = " ".join(services["gpu-worker"]["command"])
    assert f"--resources={wanted} " in command
    assert services["gpu-worker"]["deploy"]["resources"]["reservations"]["devices"]


def test_a_second_accelerator_has_a_worker_of_its_own() -> None:
    services = configured("gpu", more=["second-gpu.yaml"])["services"]
    first, second = services["gpu-worker"], services["gpu-worker-1"]
    seen = [s["deploy"]["resources"]["reservations"]["devices"] for s in (first, second)]
    assert [[d["device_ids"] for d in devices] for devices in seen] == [[["0"]], [["1"]]]
    assert second["command"] == first["command"]
    assert "build" not in second


# --- Dockerfile ----------------------------------------------------------------------------------


def instructions(stage: str) -> list[str]:
    """The instructions of a stage."""
    start = next(i for i, line in enumerate(INSTRUCTIONS) if line.endswith(f" AS {stage}"))
    rest = INSTRUCTIONS[start + 1 :]
    end = next((i for i, line in enumerate(rest) if line.startswith("FROM ")), len(rest))
    return rest[:end]


@pytest.mark.parametrize("target", ["cpu", "gpu", "gpu-jax"])
def test_an_image_is_not_root_and_has_the_health_check_of_compose(
    target: str, services: dict[str, Any]
) -> None:
    lines = instructions(target)
    assert "USER 10001:10001" in lines
    assert not any(line.startswith("RUN") for line in lines)
    (check,) = (line for line in lines if line.startswith("HEALTHCHECK"))
    test = json.loads(check.partition(" CMD ")[2])
    assert services["server"]["healthcheck"]["test"] == ["CMD", *test]
    assert refusal(json.loads(next(line for line in lines if line.startswith("CMD"))[4:])) is None


def test_no_process_of_an_image_calls_an_outside_host() -> None:
    (line,) = (line for line in instructions("base") if line.startswith("ENV "))
    given = dict(word.split("=", 1) for word in shlex.split(line)[1:])
    assert {name: given.get(name) for name in QUIET_HOSTS} == QUIET_HOSTS


def test_what_is_copied_exists_and_reaches_the_builder() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    kept = [line[1:] for line in ignored if line.startswith("!")]
    for line in INSTRUCTIONS:
        if line.startswith("COPY ") and "--from" not in line:
            for source in line.split()[1:-1]:
                files = list(ROOT.glob(source))
                assert files, source
                for file in files:
                    name = str(file.relative_to(ROOT))
                    assert any(fnmatch.fnmatch(name, pattern) for pattern in kept), name


def test_the_extras_of_an_image_exist_and_are_locked() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for target in ("cpu", "gpu", "gpu-jax"):
        (line,) = (run for run in instructions(f"{target}-packages") if run.startswith("RUN"))
        assert "--require-hashes" in line
        assert "--constraints requirements.lock" in line
        extras = re.findall(r"--extra (\S+)", line)
        assert {"synth", "s3", "onnx"} <= set(extras) <= set(project["optional-dependencies"])
        assert "dev" not in extras
        assert f"{target}.lock" in line


def test_the_three_lines_of_the_readme(services: dict[str, Any]) -> None:
    lines = re.findall(r"(?m)^    ((?:cp|docker) .+)$", (ROOT / "README.md").read_text())
    copied, up, run = (shlex.split(line, comments=True) for line in lines)
    assert (ROOT / copied[1]).is_file()
    assert copied[2] in (ROOT / ".gitignore").read_text().splitlines()
    for command in (up, run):
        assert command[:3] == ["docker", "compose", "-f"]
        assert (ROOT / command[3]) == DOCKER / "compose.yaml"
    assert up[4:] == ["up", "--build", "--detach"]
    assert run[4] == "exec"
    assert run[5] in services
    assert refusal(run[6:]) is None
    deployments = yaml.safe_load((ROOT / "deployments" / "prefect.yaml").read_text())
    named = {
        f"{d['entrypoint'].rpartition('.')[2]}/{d['name']}" for d in deployments["deployments"]
    }
    assert run[-1] in named
