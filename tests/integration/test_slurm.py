"""The scripts for Slurm do a whole run: started by bash, for which their options are comments."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from support.processes import stop

SCRIPTS = Path(__file__).resolve().parents[2] / "deployments" / "slurm"

pytestmark = pytest.mark.nightly


def test_the_scripts_make_a_cluster_and_a_run_on_it(
    environment: dict[str, str], data: Path, tiny: Path, tmp_path: Path
) -> None:
    places = {"OVERLAP_BIN": str(Path(sys.executable).parent), "TMPDIR": str(tmp_path)}
    # The address of a job that is gone: no worker may be led to it.
    (tmp_path / "scheduler.json").write_text('{"address": "tcp://127.0.0.1:1"}')
    started = []
    try:
        for script in ("scheduler", "cpu-worker", "gpu-worker"):
            with (tmp_path / f"{script}.log").open("wb") as log:
                process = subprocess.Popen(
                    ["bash", SCRIPTS / f"{script}.sh"],
                    cwd=tmp_path, env=environment | places, stdout=log, stderr=log,
                )  # fmt: skip
            started.append(process)
            if script == "scheduler":
                _wait_for_new(tmp_path / "scheduler.json", process)
        done = subprocess.run(
            ["bash", SCRIPTS / "run.sh", "--data", data, "--workspace", "W", "--config", tiny],
            cwd=tmp_path, env=environment | places, capture_output=True, text=True, timeout=280,
            check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        assert len(list((tmp_path / "W" / "members").glob("*/member.json"))) == 2
        said = (tmp_path / "gpu-worker.log").read_text()
        assert "Registered to" in said

        # The scheduler's end is the workers' end, so that nodes become free.
        stop(started[0])
        for worker in started[1:]:
            assert worker.wait(60) == 0
    finally:
        for process in started:
            if process.poll() is None:
                stop(process)


def _wait_for_new(file: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until the scheduler wrote its address."""
    end = time.monotonic() + 60
    while not file.exists() or '127.0.0.1:1"' in file.read_text():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.1)
