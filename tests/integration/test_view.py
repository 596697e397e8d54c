"""`overlap view` as a process: its address, its answers, its end, and what it refuses."""

import json
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from flows.cli.commands.view import STOPPED
from support.earlier_workspace import Earlier
from support.errors import printed_code
from support.view_client import add_graphs
from support.view_server import serving

pytestmark = pytest.mark.extended


def answer(url: str, data: bytes | None = None) -> bytes:
    with urllib.request.urlopen(url, data, timeout=60) as reply:
        return reply.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_answers_until_it_is_stopped(earlier: Earlier, number: signal.Signals) -> None:
    """An open stream of events does not keep it from ending; nothing has to be resumed later."""
    add_graphs(earlier.location)
    clip = min((earlier.data / "test").iterdir()).read_bytes()
    with serving(earlier.workspace) as (process, url):
        assert json.loads(answer(f"{url}/healthz")) == {"status": "ok"}
        assert b"Champion" in answer(url)
        assert len(json.loads(answer(f"{url}/v1/predict", clip))["clips"]) == 1
        with urllib.request.urlopen(f"{url}/events/now", timeout=60) as stream:
            assert stream.readline() == b"event: part\n"
            process.send_signal(number)
            process.wait(30)
        assert process.returncode == 128 + number
        assert process.stderr is not None
        assert process.stderr.read().splitlines()[-1] == STOPPED


def test_it_imports_neither_prefect_nor_dask() -> None:
    code = (
        "import sys, overlap.view.server; "
        "print([name for name in ('prefect', 'distributed', 'keras') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_is_unsafe_or_impossible_is_refused(overlap, tmp_path: Path) -> None:
    open_to_all = overlap("view", "--host", "0.0.0.0", "--workspace", tmp_path, code=2)
    assert printed_code(open_to_all.stderr) == "token-required"
    with serving(tmp_path) as (_, url):
        taken = overlap("view", "--port", url.rpartition(":")[2], code=2)
        assert printed_code(taken.stderr) == "port-not-available"


def test_the_workspace_may_be_made_later(earlier: Earlier, tmp_path: Path) -> None:
    later = tmp_path / "later"
    with serving(later) as (_, url):
        assert b"No workspace yet" in answer(url)
        assert not later.exists()
        shutil.copytree(earlier.workspace, later)
        while b"No workspace yet" in answer(url):
            pass
