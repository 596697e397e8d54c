"""kill -9 of a whole run, in the middle of each long stage; then the same command again."""

import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest

from overlap.catalog import Catalog
from overlap.config import RunConfig
from overlap.features import FeatureStore
from overlap.io.location import Location
from support.processes import OVERLAP, has_checkpoint
from support.run_steps import Finished, computed

pytestmark = pytest.mark.extended


def kill_when(
    condition: Callable[[], bool], environment: dict[str, str], *arguments: object
) -> None:
    """Start the command, kill it with signal 9 once the condition holds, wait for its workers."""
    with subprocess.Popen(
        [OVERLAP, *map(str, arguments)], env=environment, stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    ) as flow:  # fmt: skip
        started = time.monotonic()
        while not condition():
            assert flow.poll() is None, "the run ended before it could be killed"
            assert time.monotonic() - started < 120
            time.sleep(0.002)
        below = psutil.Process(flow.pid).children(recursive=True)
        os.kill(flow.pid, signal.SIGKILL)
        flow.wait()
    _, alive = psutil.wait_procs(below, timeout=30)
    assert alive == [], "a killed run left processes behind"


def test_killed_in_the_features(
    overlap, environment: dict[str, str], data: Path, tmp_path: Path
) -> None:
    """The same features bit for bit, and no finished block computed again."""
    fine = tmp_path / "fine.json"  # many frames and many blocks: time to be killed in
    features = {"hop_length": 80}
    store = {"chunk_clips": 4, "block_clips": 4}
    fine.write_text(json.dumps({"features": features, "store": store}))
    options = ("--data", data, "--config", fine)
    # One process gives what the workers of an undisturbed run give: tests/integration/test_run.py.
    alone = RunConfig(
        data=str(data), workspace=str(tmp_path / "alone"), features=features, store=store
    )
    _, expected = computed(alone)
    killed = tmp_path / "killed"
    marks = killed / "features.zarr" / "blocks" / "key" / "c"

    def some_are_done() -> bool:
        return marks.is_dir() and len(list(marks.iterdir())) >= 3

    kill_when(some_are_done, environment, "features", *options, "--workspace", killed)
    catalog, there = Catalog.load(Location.of(killed)), FeatureStore.open(Location.of(killed))
    missing = there.missing(catalog)
    assert 0 < len(missing) < len(there.blocks(catalog)) == 30
    done = {f: f.stat().st_mtime_ns for f in marks.rglob("0") if f.is_file()}

    said = overlap("features", *options, "--workspace", killed).stdout
    assert f"{len(missing)} of 30 blocks computed" in said
    assert there.missing(catalog) == []
    found = there.read_rows(0, 120)
    assert np.array_equal(found.view(np.uint16), expected.read_rows(0, 120).view(np.uint16))
    assert np.array_equal(there.histogram(), expected.histogram())
    assert {f: f.stat().st_mtime_ns for f in done} == done


@pytest.mark.nightly
def test_killed_in_the_training(
    overlap, environment: dict[str, str], data: Path, tiny: Path, tmp_path: Path, finished: Finished
) -> None:
    """A complete ensemble, and the submission of an undisturbed run."""
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "w"))
    for part in ("members", "ensembles"):
        shutil.rmtree(workspace / part)
    options = ("--data", data, "--workspace", workspace, "--config", tiny)

    def an_epoch_is_done() -> bool:
        return has_checkpoint(workspace)

    kill_when(an_epoch_is_done, environment, "run", *options)
    assert list(workspace.glob("members/*/member.json")) == []
    overlap("run", *options)
    assert len(list(workspace.glob("members/*/member.json"))) == 2
    assert list(workspace.glob("members/*/checkpoint.npz")) == []
    (file,) = workspace.glob("ensembles/*/submission.csv")
    assert json.loads((workspace / "champion.json").read_text())["version"] == file.parent.name
    assert file.read_bytes() == finished.submission
