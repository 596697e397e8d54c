"""The wheel in an empty environment: the commands of the demo, and deployments with a real worker.

The environment contains only the wheel. Its dependencies come from the environment of the tests, so
that no host is asked; the distribution's metadata names them, which the first test compares.
"""

import os
import subprocess
import sys
import sysconfig
import tomllib
from dataclasses import dataclass
from importlib.metadata import PathDistribution
from pathlib import Path

import pytest

import overlap
from support.markdown_blocks import ROOT
from support.running_service import Service, serving

pytestmark = pytest.mark.nightly

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LIMIT = 900
"""Seconds of a command."""


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel, and a folder elsewhere in which its commands run."""

    packages: Path
    programs: Path
    folder: Path
    environment: dict[str, str]

    def overlap(self, *arguments: object) -> str:
        """Run a command; its standard output."""
        done = subprocess.run(
            [self.programs / "overlap", *map(str, arguments)], cwd=self.folder,
            env=self.environment, capture_output=True, text=True, timeout=LIMIT, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{done.args}\n{done.stdout}\n{done.stderr}"
        return done.stdout


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Build the wheel as `make wheel` does, and install it into an empty environment."""
    place = tmp_path_factory.mktemp("wheel")
    uv = Path(sys.executable).with_name("uv")
    build = (uv, "build", "--quiet", "--wheel", "--no-build-isolation", "--python", sys.executable)
    subprocess.run([*build, "--out-dir", place / "dist", ROOT], check=True, timeout=LIMIT)
    (wheel,) = (place / "dist").glob("*.whl")
    assert wheel.name.startswith("overlap_ensemble-")
    environment = place / "environment"
    subprocess.run([uv, "venv", "--quiet", "--python", sys.executable, environment], check=True)
    python = environment / "bin" / "python"
    install = (uv, "pip", "install", "--quiet", "--offline", "--no-deps", "--python", python)
    subprocess.run([*install, wheel], check=True, timeout=LIMIT)
    (packages,) = environment.glob("lib/python*/site-packages")
    # A folder that a .pth file names has no effect of its own .pth files, so the tests' editable
    # installation stays hidden.
    (packages / "dependencies.pth").write_text(sysconfig.get_paths()["purelib"] + "\n")
    folder = place / "elsewhere"
    folder.mkdir()
    hidden = ("PYTHONPATH", "VIRTUAL_ENV", "PREFECT_API_URL")
    variables = {name: value for name, value in os.environ.items() if name not in hidden}
    variables |= {
        "PATH": f"{environment / 'bin'}{os.pathsep}{os.environ['PATH']}",
        "PREFECT_HOME": str(place / "prefect"), "COLUMNS": "200", "NO_COLOR": "1",
    }  # fmt: skip
    return Installed(packages, environment / "bin", folder, variables)


def test_the_distribution_names_what_it_needs(installed: Installed) -> None:
    (information,) = installed.packages.glob("overlap_ensemble-*.dist-info")
    metadata = PathDistribution(information).metadata
    assert (metadata["Name"], metadata["Version"]) == (PROJECT["name"], overlap.__version__)
    needed = {
        line.split(";")[0].replace(" ", "")
        for line in metadata.get_all("Requires-Dist") or []
        if "extra ==" not in line
    }
    assert len(needed) == len(PROJECT["dependencies"])
    assert {*(metadata.get_all("Provides-Extra") or [])} == {*PROJECT["optional-dependencies"]}


def test_the_code_is_that_of_the_wheel(installed: Installed) -> None:
    program = (
        "import overlap, tasks, flows; print(overlap.__file__, tasks.__file__, flows.__file__)"
    )
    said = subprocess.run(
        [installed.programs / "python", "-c", program], cwd=installed.folder,
        env=installed.environment, capture_output=True, text=True, check=True, timeout=60,
    ).stdout.split()  # fmt: skip
    assert all(Path(file).is_relative_to(installed.packages) for file in said), said
    assert installed.overlap("--version") == f"overlap {overlap.__version__}\n"


def test_the_commands_of_the_demo_from_another_folder(
    installed: Installed, data: Path, tiny: Path
) -> None:
    run = installed.overlap("run", "--data", data, "--workspace", "w", "--config", tiny)
    assert "first champion" in run or "promoted" in run
    assert "champion" in installed.overlap("status", "--workspace", "w")
    assert "OK: no damage found" in installed.overlap("verify", "--workspace", "w")
    predict = ("predict", data / "test", "--workspace", "w", "--out", "preds.csv")
    assert "predicted" in installed.overlap(*predict)
    assert (installed.folder / "preds.csv").exists()
    installed.overlap("report", "--workspace", "w")
    assert [*(installed.folder / "w").glob("ensembles/*/report.html")]


def test_a_worker_runs_a_deployment(
    installed: Installed, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """After the commands above: the run finds their work complete."""
    with serving(tmp_path) as running:
        environment = installed.environment | {"PREFECT_API_URL": f"{running.url}/api"}
        service = Service(running.url, installed.folder, environment, running.stack)
        deploy = Installed(installed.packages, installed.programs, installed.folder, environment)
        said = deploy.overlap("deploy", "--data", data, "--workspace", "w", "--config", tiny)
        assert "overlap-process" in said
        prefect = (installed.programs / "python", "-m", "prefect", "worker", "start")
        service.start(*prefect, "--pool", "overlap-process", name="worker")
        run = service.start_run("nightly-retrain/nightly-retrain")
        state, message = service.ended(run, LIMIT)
        assert state == "COMPLETED", message
        assert message.startswith("skipped: nothing changed since ensemble")
