"""The pool of processes: what its processes receive, and how it ends when one of them does."""

import os
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from overlap.errors import ChildError
from overlap.system.process_pool import process_pool
from support.errors import raises

LARGE = bytes(range(256)) * 8192
"""Two megabytes, more than a pipe takes."""
received: list[bytes] = []
"""What this process of the pool was given."""


def receive(content: bytes) -> None:
    received.append(content)


def is_received(expected: bytes) -> bool:
    return received == [expected]


def end(with_signal: int) -> None:
    os.kill(os.getpid(), with_signal)


def test_every_process_receives_large_content() -> None:
    with process_pool(2, partial(receive, LARGE)) as pool:
        assert all(pool.map(is_received, [LARGE] * 4))


def test_a_killed_process_is_an_error() -> None:
    with (
        raises(ChildError, "worker-process-failed", exit_code=-9),
        process_pool(2, partial(receive, LARGE)) as pool,
    ):
        pool.submit(end, signal.SIGKILL).result()


@pytest.mark.parametrize("large", [True, False])
def test_a_script_without_a_guard_ends_with_an_error(tmp_path: Path, large: bool) -> None:
    """Each process imports the script again, and ends before it has read what it is to do."""
    script = tmp_path / "script.py"
    script.write_text(
        "from functools import partial\n"
        "from overlap.system.process_pool import process_pool\n"
        f"with process_pool(2, partial(print, bytes({len(LARGE) if large else 1}))) as pool:\n"
        "    pool.submit(abs, -1).result()\n"
    )
    ended = subprocess.run(
        [sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ended.returncode == 1
    assert "ChildError" in ended.stderr
