"""Commands as other programs start them: with their environment, their user and their output.

Other wrappers have their trials where their fault was: a proxy, and a service user without a home,
in `test_prefect_environment`; a folder full of hostile module names in `test_current_folder`.
"""

import os
import pty
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from support.process_fixtures import TIMEOUT
from support.processes import OVERLAP
from support.running_service import missing
from support.trials import trial

NOTEBOOK = {
    "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    "JPY_PARENT_PID": "1",
    "JPY_SESSION_NAME": "notebook.ipynb",
    "TERM": "xterm-color",
    "CLICOLOR": "1",
    "CLICOLOR_FORCE": "1",
    "FORCE_COLOR": "1",
    "PAGER": "cat",
    "GIT_PAGER": "cat",
    "PYDEVD_USE_FRAME_EVAL": "NO",
}
"""Variables that IPython's kernel has and passes on to `!command`."""
WORKFLOW = {
    "CI": "true",
    "GITHUB_ACTIONS": "true",
    "GITHUB_WORKSPACE": "/nonexistent",
    "RUNNER_TEMP": "/nonexistent",
    "DEBIAN_FRONTEND": "noninteractive",
    "LANG": "C.UTF-8",
    "TERM": "dumb",
    "ACTIONS_RUNNER_DEBUG": "true",
}


@pytest.mark.extended
@trial(
    "W",
    "cron: `env -i` with PATH and HOME only",
    source="own",
    before="correct",
    now="the run ends with exit code 0 and computes nothing",
)
def test_cron(run, again) -> None:
    kept = ("LANG", "COLUMNS", "NO_COLOR", "LD_LIBRARY_PATH", "OVERLAP_SKIP_NOTHING")
    done = run(*again, without=kept)
    assert done.code == 0, done.err
    assert "submission.csv" in done.out


@trial(
    "W",
    "a job of GitHub Actions: its variables, no terminal",
    source="own",
    before="correct",
    now="the run ends with exit code 0; its output has no control characters",
)
def test_github_actions(run, again) -> None:
    done = run(*again, extra=WORKFLOW, without=("NO_COLOR",))
    assert done.code == 0, done.err
    assert "submission.csv" in done.out
    assert "\x1b" not in done.out + done.err


@trial(
    "W",
    "`!overlap pool` in IPython: the variables of its kernel, a pseudo-terminal",
    source="own",
    before="a run that trains a member failed because of MPLBACKEND",
    now="the run ends with exit code 0",
)
def test_a_command_of_ipython(field_environment: dict[str, str], again, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = field_environment | NOTEBOOK
    del environment["NO_COLOR"]
    output: list[bytes] = []

    def read() -> None:
        while True:
            try:
                content = os.read(ours, 1 << 16)
            except OSError:  # the other end is closed
                return
            if not content:
                return
            output.append(content)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    done = subprocess.run(
        [OVERLAP, *map(str, again)], cwd=tmp_path, env=environment, timeout=TIMEOUT, check=False,
        stdin=subprocess.DEVNULL, stdout=theirs, stderr=theirs,
    )  # fmt: skip
    os.close(theirs)
    reader.join(20)
    os.close(ours)
    text = b"".join(output).decode()
    assert done.returncode == 0, text
    assert "submission.csv" in text


CELL = """
import asyncio
import sys

async def cell():
    import overlap
    ensemble = overlap.load_ensemble(sys.argv[1])
    return ensemble.predict(sys.argv[2])

print("keras" in sys.modules, len(asyncio.run(cell())), "keras" in sys.modules)
"""


@pytest.mark.parametrize(
    "keras",
    [
        pytest.param(
            False, id="graphs",
            marks=trial(
                "W",
                "`overlap.load_ensemble(…).predict(…)` in a running event loop; MPLBACKEND names a "
                "backend that is not installed",
                source="own",
                before="correct without MPLBACKEND",
                now="20 rows for 20 clips; neither Keras nor TensorFlow is imported",
            ),
        ),
        pytest.param(
            True, id="keras",
            marks=trial(
                "W",
                "the same with members of a release that wrote no inference graphs",
                source="spinalcordtoolbox/spinalcordtoolbox#4523",
                before="`import keras` fails because of MPLBACKEND",
                now="20 rows for 20 clips",
            ),
        ),
    ],
)  # fmt: skip
def test_a_cell_with_a_running_event_loop(
    field_environment: dict[str, str], finished, data: Path, tmp_path: Path, keras: bool
) -> None:
    place = shutil.copytree(finished.workspace, tmp_path / "workspace")
    if keras:
        for graph in place.glob("members/*/inference.*"):
            graph.unlink()
    environment = field_environment | NOTEBOOK | {"MPLBACKEND": "not-installed"}
    done = subprocess.run(
        [sys.executable, "-c", CELL, str(place), str(data / "test")], cwd=tmp_path,
        env=environment, capture_output=True, text=True, timeout=TIMEOUT, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split()[-3:] == ["False", "20", str(keras)]


@pytest.mark.extended
@trial(
    "W",
    "a service manager: no HOME, no TERM, standard input closed, output into a pipe",
    source="own",
    before="correct with HOME",
    now="the run ends with exit code 0",
)
def test_a_service_manager(run, again) -> None:
    shell = ("sh", "-c", 'exec "$@" <&-', "sh")
    done = run(*again, prefix=shell, without=("HOME", "COLUMNS", "NO_COLOR", "LANG"))
    assert done.code == 0, done.err
    assert "submission.csv" in done.out


@pytest.mark.extended
@trial(
    "W",
    "`taskset -c 0 overlap pool`",
    source="own",
    before="two workers and two threads on one processor",
    now="the run ends with exit code 0",
)
def test_one_processor(run, again) -> None:
    if not shutil.which("taskset"):
        missing("taskset is not installed")
    first = str(min(os.sched_getaffinity(0)))
    done = run(*again, prefix=("taskset", "-c", first))
    assert done.code == 0, done.err


@trial(
    "W",
    "`overlap run >&-`: standard output is closed",
    source="own",
    before="the output of `plan` went to standard error; exit code 0",
    now="the run ends with exit code 0; nothing is printed",
)
def test_a_closed_output(run, again) -> None:
    done = run(*again, prefix=("sh", "-c", 'exec "$@" >&-', "sh"))
    assert done.code == 0, done.err
    assert done.out == ""
