"""`notify.webhook`: what a receiver gets from runs without a Prefect server of their own."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from support.processes import OVERLAP
from support.receivers import web_receiver

pytestmark = pytest.mark.extended

SECRET = "planted-secret-93ad"


def test_a_run_without_a_server_tells_its_outcome_and_its_failure(
    finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "workspace"))
    (first,) = [folder.name for folder in workspace.glob("ensembles/*")]
    home = tmp_path / "home"
    environment = {**os.environ, "PREFECT_HOME": str(home), "COLUMNS": "200"}
    environment.pop("PREFECT_API_URL", None)

    def run(*options: object, code: int = 0) -> str:
        done = subprocess.run(
            [OVERLAP, "run", "--workspace", str(workspace), *map(str, options)],
            env=environment, capture_output=True, text=True, timeout=250, check=False,
        )  # fmt: skip
        assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    with web_receiver() as web:
        address = f"notify.webhook={web.url}/{SECRET}?token={SECRET}"
        options = ("--data", data, "--config", tiny, "--set", address)
        fewer = ("--members", 1, "--set", "promotion.rule=never", "--json", "-v")
        output = run(*options, *fewer)
        assert SECRET not in output
        (text,) = web.texts()
        assert "promotion.rule is never" in text
        assert f"(champion {first})" in text
        (record,) = [
            json.loads(file.read_text())
            for file in workspace.glob("ensembles/*/ensemble.json")
            if file.parent.name != first
        ]
        assert record["config"]["notify"]["webhook"] == "***"

        missing = ("--data", tmp_path / "missing", "--set", address)
        assert SECRET not in run(*missing, code=2)
        assert "the champion is unchanged: " in web.texts()[1]
        assert len(web.deliveries) == 2
    for file in (*workspace.rglob("*.json"), *workspace.rglob("*.html"), *home.rglob("*.db*")):
        assert SECRET.encode() not in file.read_bytes(), file

    # Nobody listens any more.
    output = run(*options, "--set", "promotion.rule=never", "--set", "ensemble.pool=power")
    assert output.count("did not accept a message") == 1
    assert SECRET not in output
