"""The examples for Kubernetes and Slurm name commands, ports, images and claims that exist."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import prefect.settings
import pytest
import yaml

from support.command_lines import commands_of, refusal

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deployments" / "kubernetes"
POOLS = ROOT / "deployments" / "pools"
SCRIPTS = sorted((ROOT / "deployments" / "slurm").glob("*.sh"))
DOCKERFILE = (ROOT / "docker" / "Dockerfile").read_text()
SBATCH = {
    *("--array", "--cpus-per-task", "--gres", "--job-name", "--mem", "--output", "--time"),
}
"""Options of sbatch that the scripts use; Slurm 22.05 accepted them all."""


def kustomization() -> dict[str, Any]:
    return yaml.safe_load((KUBERNETES / "kustomization.yaml").read_text())


def objects(trainer: str = "trainer-gpu.yaml") -> list[dict[str, Any]]:
    """What is applied, with one of the two trainers."""
    chosen = [name for name in kustomization()["resources"] if not name.startswith("trainer-")]
    texts = [(KUBERNETES / name).read_text() for name in (*chosen, trainer)]
    return [item for text in texts for item in yaml.safe_load_all(text)]


def of_kind(*kinds: str, trainer: str = "trainer-gpu.yaml") -> list[dict[str, Any]]:
    return [item for item in objects(trainer) if item["kind"] in kinds]


def pods(trainer: str = "trainer-gpu.yaml") -> dict[str, dict[str, Any]]:
    """The pod of each Deployment and Job."""
    found = of_kind("Deployment", "Job", trainer=trainer)
    return {item["metadata"]["name"]: item["spec"]["template"] for item in found}


def container(pod: dict[str, Any]) -> dict[str, Any]:
    (only,) = pod["spec"]["containers"]
    return only


def image_user() -> int:
    found = re.search(r"(?m)^USER (\d+):\1$", DOCKERFILE)
    assert found
    return int(found[1])


both = pytest.mark.parametrize("trainer", ["trainer-gpu.yaml", "trainer-cpu.yaml"])


def test_every_file_is_applied_or_is_the_other_trainer() -> None:
    files = {file.name for file in KUBERNETES.glob("*.yaml")} - {"kustomization.yaml"}
    assert files - set(kustomization()["resources"]) == {"trainer-cpu.yaml"}
    names = [(item["kind"], item["metadata"]["name"]) for item in objects()]
    assert len(names) == len(set(names)) > 8


@both
def test_commands_are_accepted_and_images_are_targets(trainer: str) -> None:
    targets = set(re.findall(r"(?m)^FROM \S+ AS (\S+)$", DOCKERFILE))
    (replaced,) = (image["name"] for image in kustomization()["images"])
    for pod in pods(trainer).values():
        name, _, target = container(pod)["image"].partition(":")
        assert name == replaced
        assert target in targets
        assert refusal(container(pod)["command"]) is None


def test_only_the_trainer_on_a_gpu_asks_for_one() -> None:
    asked = {}
    for trainer in ("trainer-gpu.yaml", "trainer-cpu.yaml"):
        pod = container(pods(trainer)["trainer"])
        assert "--resources=GPU=1" in pod["command"]
        asked[pod["image"]] = pod["resources"]["limits"].get("nvidia.com/gpu")
    assert asked == {"overlap:gpu": 1, "overlap:cpu": None}


@both
def test_labels_claims_mounts_ports_and_probes_belong_together(trainer: str) -> None:
    claims = {item["metadata"]["name"] for item in of_kind("PersistentVolumeClaim")}
    for item in of_kind("Deployment", trainer=trainer):
        labels = item["spec"]["template"]["metadata"]["labels"]
        assert item["spec"]["selector"]["matchLabels"] == labels
    for name, pod in pods(trainer).items():
        volumes = pod["spec"].get("volumes", [])
        only = container(pod)
        mounted = {mount["name"] for mount in only.get("volumeMounts", ())}
        assert {volume["name"] for volume in volumes} == mounted
        claimed = {v["persistentVolumeClaim"]["claimName"] for v in volumes if len(v) == 2 and
                   "persistentVolumeClaim" in v}  # fmt: skip
        assert claimed <= claims
        ports = {port["name"]: port["containerPort"] for port in only.get("ports", ())}
        given = " ".join(only["command"])
        for port in ports.values():
            worker = prefect.settings.PREFECT_WORKER_WEBSERVER_PORT.value()
            assert f"{port}" in given or ("--with-healthcheck" in given and port == worker)
        probes = [only[key]["httpGet"] for key in only if key.endswith("Probe")]
        assert bool(probes) == (name != "overlap-setup")
        assert {probe["port"] for probe in probes} <= set(ports)


def test_services_find_their_pods_and_addresses_their_services() -> None:
    listening = {}
    for service in of_kind("Service"):
        name = service["metadata"]["name"]
        (pod,) = (
            p for p in pods().values() if p["metadata"]["labels"] == service["spec"]["selector"]
        )
        named = {port["name"]: port["containerPort"] for port in container(pod)["ports"]}
        for port in service["spec"]["ports"]:
            assert named[port["targetPort"]] == port["port"]
        listening[name] = set(named.values())
    found = 0
    for pod in pods().values():
        only = container(pod)
        values = [str(entry.get("value")) for entry in only.get("env", ())]
        for _, host, port in re.findall(
            r"(tcp|http)://([\w-]+):(\d+)", " ".join(values + only["command"])
        ):
            assert int(port) in listening[host]
            found += 1
    assert found >= 5
    (policy,) = of_kind("NetworkPolicy")
    (rule,) = policy["spec"]["podSelector"]["matchExpressions"]
    known = {pod["metadata"]["labels"]["app"] for pod in pods().values()}
    assert set(rule["values"]) == {
        app for app in known if app in ("dask-scheduler", "cpu-worker", "trainer")
    }


@both
def test_pods_are_the_images_user_and_take_no_settings_from_names_of_services(trainer: str) -> None:
    for pod in pods(trainer).values():
        # PREFECT_SERVER_PORT=tcp://… of a service would be read as a setting of Prefect's.
        assert pod["spec"]["enableServiceLinks"] is False
        assert pod["spec"]["securityContext"]["runAsUser"] == image_user()
        assert container(pod)["securityContext"]["allowPrivilegeEscalation"] is False
        for entry in container(pod).get("env", ()):
            known = hasattr(prefect.settings, entry["name"])
            assert known or not entry["name"].startswith("PREFECT_"), entry["name"]


def test_jobs_of_the_kubernetes_pool_find_the_same_claims_and_namespace() -> None:
    fields = json.loads((POOLS / "kubernetes.json").read_text())["variables"]["properties"]
    assert fields["namespace"]["default"] == kustomization()["namespace"]
    claims = {item["metadata"]["name"] for item in of_kind("PersistentVolumeClaim")}
    wanted = {v["persistentVolumeClaim"]["claimName"] for v in fields["volumes"]["default"]}
    assert wanted == claims
    image = fields["image"]["default"].partition(":")
    assert image[2] in set(re.findall(r"(?m)^FROM \S+ AS (\S+)$", DOCKERFILE))
    mounts = container(pods()["prefect-worker"])["volumeMounts"]
    by_name = {mount["name"]: mount["mountPath"] for mount in mounts}
    for mount in fields["volume_mounts"]["default"]:
        assert by_name[mount["name"]] == mount["mountPath"]


# --- Slurm ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_read_by_bash_and_its_commands_are_accepted(script: Path) -> None:
    text = script.read_text()
    assert subprocess.run(["bash", "-n", script], check=False).returncode == 0
    assert script.stat().st_mode & 0o111
    (command,) = commands_of(text)
    needed = ["--data", "D"] if command[0] == "overlap" else []
    assert refusal([*command, *needed]) is None
    options = re.findall(r"(?m)^#SBATCH (--[a-z-]+)=\S+$", text)
    assert len(options) == text.count("#SBATCH")
    assert set(options) <= SBATCH
    head, _, _ = text.partition("set -euo pipefail")
    assert not re.search(r"(?m)^[^#\n]", head)  # sbatch reads no option below a command


def test_the_scripts_that_are_named_exist_and_share_the_schedulers_file() -> None:
    assert {script.name for script in SCRIPTS} == {
        "scheduler.sh", "cpu-worker.sh", "gpu-worker.sh", "run.sh",
    }  # fmt: skip
    texts = {script.name: script.read_text() for script in SCRIPTS}
    assert set(re.findall(r"[\w-]+\.sh", texts["scheduler.sh"])) == set(texts)
    file = "${OVERLAP_SCHEDULER:-$PWD/scheduler.json}"
    assert all(text.count(file) == 1 for text in texts.values())
    assert "--resources GPU=1" in " ".join(commands_of(texts["gpu-worker.sh"])[0])
