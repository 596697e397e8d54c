"""Real speech is learned, and a run calls no outside host: the real commands, for minutes.

The commands start the embedded Prefect server. The demo is in tests/e2e/test_documentation.py.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from support.markdown_blocks import block
from support.processes import OVERLAP


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """No Prefect server, and an empty Prefect home."""
    known = {name: value for name, value in os.environ.items() if name != "PREFECT_API_URL"}
    return known | {"PREFECT_HOME": str(tmp_path / "prefect"), "COLUMNS": "200", "NO_COLOR": "1"}


def overlap(environment: dict[str, str], *arguments: object, before: tuple[str, ...] = ()) -> str:
    done = subprocess.run(
        [*before, OVERLAP, *map(str, arguments)],
        env=environment, capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.nightly
def test_real_speech_is_learned(environment: dict[str, str], speech: Path, tmp_path: Path) -> None:
    """The block of the README: at least 15 % below the mean label, on speakers never heard."""
    (tmp_path / "SPEECH").symlink_to(speech)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block("README.md", "Results on real speech").text],
        cwd=tmp_path, env=environment | {"PATH": f"{Path(OVERLAP).parent}:{environment['PATH']}"},
        capture_output=True, text=True, timeout=1500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    below = re.search(r"compared with it\D+([\d.]+)% below", done.stdout)
    assert below, done.stdout
    assert float(below[1]) > 15


def test_no_outside_host_is_called(environment: dict[str, str], data: Path, tmp_path: Path) -> None:
    """Every address that any process of a run connects to is the loopback."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    log = tmp_path / "calls"
    strace = ("strace", "-f", "--seccomp-bpf", "-e", "trace=connect,sendto", "-o", str(log))
    options = ("--set", "training.epochs=1", "--members", 1, "--workspace", tmp_path / "w")
    overlap(environment, "run", "--data", data, *options, before=strace)
    calls = log.read_text(errors="replace")
    hosts = set(re.findall(r'sin_addr=inet_addr\("([^"]+)"\)', calls))
    hosts |= set(re.findall(r'inet_pton\(AF_INET6, "([^"]+)"', calls))
    assert "127.0.0.1" in hosts
    assert {host for host in hosts if not host.startswith("127.")} <= {"::1"}
