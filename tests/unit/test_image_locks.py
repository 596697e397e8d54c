"""The locks of the images: hashes for everything, no addresses, versions that fit the project's."""

import re
from importlib.metadata import requires
from pathlib import Path

from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[2]
DOCKER = ROOT / "docker"


def locked(file: Path) -> dict[str, str]:
    """Name and version of each package of a lock."""
    return dict(re.findall(r"(?m)^([a-z0-9.-]+)==([^ ;\\]+)", file.read_text()))


def test_the_locks_of_the_images_fit_the_lock_of_the_project() -> None:
    project = locked(ROOT / "requirements.lock")
    cpu, gpu = locked(DOCKER / "cpu.lock"), locked(DOCKER / "gpu.lock")
    assert cpu == {"tensorflow-cpu": project["tensorflow"]}
    # What takes the place of tensorflow-cpu where there is none.
    assert locked(DOCKER / "cpu-overrides.txt") == {"tensorflow": project["tensorflow"]}
    assert not set(gpu) & set(project)
    wanted = [Requirement(text) for text in requires("tensorflow") or ()]
    cuda = [r for r in wanted if r.marker and r.marker.evaluate({"extra": "and-cuda"})]
    cuda = [r for r in cuda if r.name.startswith("nvidia")]
    assert len(cuda) > 5
    assert [str(r) for r in cuda if gpu.get(r.name) not in r.specifier] == []


def test_the_lock_of_jax_has_its_plugin() -> None:
    project, jax = locked(ROOT / "requirements.lock"), locked(DOCKER / "gpu-jax.lock")
    assert not set(jax) & set(project)
    assert {"jax-cuda12-plugin", "jax-cuda12-pjrt"} <= set(jax)


def test_the_locks_of_the_images_have_hashes_and_no_addresses() -> None:
    for file in (DOCKER / "cpu.lock", DOCKER / "gpu.lock", DOCKER / "gpu-jax.lock"):
        text = file.read_text()
        assert "://" not in text
        blocks = re.split(r"(?m)^(?=[a-z])", text)[1:]
        assert all("--hash=sha256:" in block for block in blocks)
