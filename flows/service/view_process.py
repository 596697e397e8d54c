"""The web page of a workspace in a process of its own, beside what this process serves."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from overlap.system.import_path import child_environment

STOP_SECONDS: Final = 10
"""Time that the process has to end."""


@contextmanager
def shown(workspace: str, *options: str) -> Iterator[None]:
    """Run `overlap view` within the block; it prints its address, or why it cannot start.

    Args:
        workspace: Address of the workspace.
        *options: More options of the command.
    """
    command = [sys.executable, "-m", "overlap", "view", "--workspace", workspace, *options]
    process = subprocess.Popen(command, env=child_environment(os.environ))
    try:
        yield
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
