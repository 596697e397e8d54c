"""`overlap` with fewer processors and accelerators than its machine has, or seems to have."""

import json
import os
import shutil

import pytest

from support.running_service import missing
from support.trials import trial


@pytest.mark.extended
@trial(
    "G",
    "`taskset -c 0 overlap plan`",
    source="own",
    before="one worker per core of the machine",
    now="1 worker",
)
def test_plan_under_taskset(run, again) -> None:
    if not shutil.which("taskset"):
        missing("taskset is not installed")
    first = str(min(os.sched_getaffinity(0)))
    done = run("plan", *again[1:], "--json", prefix=("taskset", "-c", first))
    assert done.code == 0, done.err
    assert json.loads(done.out)["cpu_workers"] == 1
