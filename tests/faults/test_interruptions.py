"""SIGINT and SIGTERM on the command line: an end within seconds, nothing left, and how to go on."""

import os
import random
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest
from processes import OVERLAP
from steps import Finished
from whole import submission

SEED = int(os.environ.get("OVERLAP_SEED", "1"))
STOPPED = "stopped; what is complete is kept, and a new run goes on from there\n"
CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}
END_SECONDS = 10.0


def interrupt(
    command: list[str], environment: dict[str, str], seconds: float, sent: signal.Signals,
    *, twice: bool = False,
) -> tuple[int, str, float]:  # fmt: skip
    """Start a command and send a signal to all of its group, as a terminal does.

    Returns:
        Its exit code, what it said, and the seconds that it took to end.
    """
    with subprocess.Popen(
        command, env=environment, text=True, start_new_session=True,
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        time.sleep(seconds)
        below = psutil.Process(process.pid).children(recursive=True)
        began = time.monotonic()
        for _ in range(2 if twice else 1):
            os.killpg(process.pid, sent)
            time.sleep(0.3)
        try:
            _, said = process.communicate(timeout=60)
        finally:
            process.kill()
        took = time.monotonic() - began
    _, alive = psutil.wait_procs(below, timeout=10)
    assert alive == [], f"processes are left: {alive}"
    return process.returncode, said, took


@pytest.mark.parametrize("sent", [*CODES])
def test_mixing_ends_with_its_processes(
    words: Path, environment: dict[str, str], tmp_path: Path, sent: signal.Signals
) -> None:
    """Ctrl-C reaches the processes of a pool too, wherever they are."""
    out = tmp_path / "mixed"
    command = [OVERLAP, "mix", str(words), "--out", str(out), "--train", "200000", "--test", "9"]
    command += ["--words-per-clip", "2", "--test-speakers", "0.2"]
    code, said, took = interrupt(command, environment, 6, sent)
    assert (code, said) == (CODES[sent], STOPPED)
    assert took < END_SECONDS
    assert list(tmp_path.iterdir()) == []


@pytest.mark.faults
def test_a_run_interrupted_anywhere_goes_on(
    environment: dict[str, str], finished: Finished, data: Path, tiny: Path, tmp_path: Path
) -> None:
    """Thirty times, by either signal, once or twice; then the submission of an undisturbed run."""
    draw = random.Random(SEED)
    for number in range(10):
        workspace = tmp_path / f"w{number}"
        command = [OVERLAP, "run", "--data", str(data), "--workspace", str(workspace)]
        command += ["--config", str(tiny)]
        for _ in range(3):
            sent, seconds = draw.choice([*CODES]), draw.uniform(4, 25)
            code, said, took = interrupt(
                command, environment, seconds, sent, twice=draw.random() < 0.5
            )
            if code == 0:  # it was faster
                break
            assert code == CODES[sent], said
            assert said.endswith(STOPPED)
            assert "Traceback" not in said
            assert took < END_SECONDS
        subprocess.run(command, env=environment, check=True, capture_output=True)
        assert submission(workspace) == finished.submission
