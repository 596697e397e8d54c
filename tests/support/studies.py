"""Searches that are killed: the journal of a study read from outside, and epochs that stay."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from support.processes import OVERLAP

ENDED = {1, 2, 3}
"""States of trials in a journal: complete, pruned, failed."""


def read_journal(workspace: Path) -> tuple[dict[int, str], set[int]]:
    """Return the members of the trials of the only study, and the trials that have ended."""
    members: dict[int, str] = {}
    ended: set[int] = set()
    for journal in workspace.glob("tune/*/journal.log"):
        whole = journal.read_bytes()
        for line in whole[: whole.rfind(b"\n") + 1].splitlines():
            entry = json.loads(line)
            if "member" in entry.get("user_attr", {}):
                members[entry["trial_id"]] = entry["user_attr"]["member"]
            if entry["op_code"] == 6 and entry["state"] in ENDED:
                ended.add(entry["trial_id"])
    return members, ended


def epochs_by_member(workspace: Path) -> dict[tuple[str, int], str]:
    """Return when each epoch of each member ended."""
    found = {}
    for file in workspace.glob("members/*/progress.jsonl"):
        for line in file.read_text().splitlines():
            epoch = json.loads(line)
            found[file.parent.name, epoch["epoch"]] = epoch["time"]
    return found


def in_the_middle_of_a_trial(workspace: Path, after: int) -> Callable[[], bool]:
    """A condition: so many trials have ended, and a running one has finished an epoch since now."""
    known = epochs_by_member(workspace)

    def condition() -> bool:
        members, ended = read_journal(workspace)
        if len(ended) < after:
            return False
        running = {name for trial, name in members.items() if trial not in ended}
        return any(name in running for name, _ in epochs_by_member(workspace).keys() - known.keys())

    return condition


def kill_when(
    condition: Callable[[], bool], environment: dict[str, str], arguments: list[str], limit_s: float
) -> None:
    """Start the command, kill it with signal 9 once the condition holds, wait for its workers."""
    with subprocess.Popen(
        [OVERLAP, *arguments], env=environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as flow:
        started = time.monotonic()
        while not condition():
            assert flow.poll() is None, "the search ended before it could be killed"
            assert time.monotonic() - started < limit_s
            time.sleep(0.05)
        below = psutil.Process(flow.pid).children(recursive=True)
        os.kill(flow.pid, signal.SIGKILL)
        flow.wait()
    _, alive = psutil.wait_procs(below, timeout=60)
    assert alive == [], "a killed search left processes behind"
