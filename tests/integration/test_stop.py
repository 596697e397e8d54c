"""What ends when something else does: a run that is stopped, a cluster that goes away."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil
import pytest

from overlap.errors import RESUME_HINT
from support.dask_processes import GPU, HERE, dask_process
from support.errors import printed_code
from support.process_fixtures import TIMEOUT
from support.processes import OVERLAP, free_port, has_checkpoint, members_of, until

pytestmark = pytest.mark.extended

ENDLESS = ("--members", 1, "--set", "training.epochs=100000")


@contextmanager
def training(
    workspace: Path, environment: dict[str, str], *arguments: object
) -> Iterator[subprocess.Popen[str]]:
    """A run that has finished an epoch of a training that would take hours."""
    with subprocess.Popen(
        [OVERLAP, "run", "--workspace", *map(str, (workspace, *arguments, *ENDLESS))],
        env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
    ) as run:  # fmt: skip
        try:
            _wait_for_an_epoch(run, workspace)
            yield run
        finally:
            run.kill()


def _wait_for_an_epoch(run: subprocess.Popen[str], workspace: Path) -> None:
    """Fail with the run's output if it ends before, or takes too long."""
    try:
        until(lambda: run.poll() is not None or has_checkpoint(workspace), TIMEOUT)
        assert run.poll() is None
    except AssertionError:
        run.kill()
        pytest.fail(run.communicate()[1])


@pytest.mark.parametrize(
    ("sent", "code"),
    [(signal.SIGINT, 130), pytest.param(signal.SIGTERM, 143, marks=pytest.mark.nightly)],
)
def test_a_stopped_run_ends_with_all_that_it_started(
    environment, data: Path, tiny: Path, tmp_path: Path, sent: signal.Signals, code: int
) -> None:
    workspace = tmp_path / "w"
    with training(workspace, environment, "--data", data, "--config", tiny) as run:
        below = psutil.Process(run.pid).children(recursive=True)
        assert len(members_of(workspace)) == 1
        os.kill(run.pid, sent)
        _, said = run.communicate(timeout=30)
        assert run.returncode == code
    assert said.endswith(f"{RESUME_HINT}\n")
    assert "Traceback" not in said
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == []


@contextmanager
def outer_cluster(folder: Path) -> Iterator[tuple[str, dict[str, subprocess.Popen[bytes]]]]:
    """A scheduler, a CPU worker and a training worker, as separate processes."""
    port = free_port()
    address = f"tcp://127.0.0.1:{port}"
    worker = ("worker", address, *HERE, "--nthreads", "1", "--no-nanny")
    worker += ("--local-directory", str(folder))
    commands = {
        "scheduler": ("scheduler", *HERE, "--port", str(port)),
        "cpu": worker,
        "training": (*worker, *GPU),
    }
    with ExitStack() as opened:
        started = {
            name: opened.enter_context(dask_process(*command)) for name, command in commands.items()
        }
        yield address, started


@pytest.mark.nightly
@pytest.mark.parametrize("what", ["scheduler", "run"])
def test_no_training_goes_on_for_nobody(
    environment, data: Path, tiny: Path, tmp_path: Path, what: str
) -> None:
    """kill -9 of the scheduler, or of the run that waits, on a cluster that was there before."""
    workspace = tmp_path / "w"
    with outer_cluster(tmp_path / "dask") as (address, processes):
        options = ("--data", data, "--config", tiny, "--cluster", address)
        with training(workspace, environment, *options) as run:
            processes["run"] = run
            assert len(members_of(workspace)) == 1
            processes[what].kill()
            until(lambda: not members_of(workspace), 30)
            if what == "scheduler":
                _, said = run.communicate(timeout=60)
                assert run.returncode == 1
                assert printed_code(said) == "scheduler-lost"
                assert RESUME_HINT in said
                assert "Traceback" not in said
    assert list(workspace.glob("members/*/member.json")) == []
