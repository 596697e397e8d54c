"""Members in real processes: trained, killed, resumed, applied."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from overlap.catalog import Catalog, partition
from overlap.config import RunConfig
from overlap.errors import ChildError, MemberError
from overlap.features import FeatureStore
from overlap.io.location import Location
from overlap.io.workspace_paths import LOG_FILE, MODEL_FILE, PREDICTIONS_FILE, SPEC_FILE
from overlap.metrics.divergence import kl
from overlap.system.child_process import run_child
from overlap.training.member import run_member
from overlap.training.spec import MemberRecord, MemberSpec, load_record, plan_members
from support.run_steps import Finished, computed

Ready = tuple[Catalog, FeatureStore]
pytestmark = pytest.mark.extended


def first_member(config: RunConfig, ready: Ready) -> MemberSpec:
    return plan_members(config, *ready)[0]


def train(
    config: RunConfig, spec: MemberSpec, on_event=lambda _event: None
) -> tuple[MemberRecord, dict[str, np.ndarray]]:
    workspace = Location.of(config.workspace)
    folder = spec.folder(workspace)
    (folder / SPEC_FILE).write_record(spec)
    arguments = [str(workspace), spec.fingerprint]
    run_child("overlap.training.member", arguments, on_event, log=folder / LOG_FILE)
    record = load_record(folder)
    assert record is not None
    return record, (folder / PREDICTIONS_FILE).read_arrays()


class KilledError(Exception):
    pass


def test_a_killed_training_ends_where_an_undisturbed_one_ends(
    config: RunConfig, ready: Ready
) -> None:
    """Killed by signal 9 after its first epoch. Both have as many threads: JAX depends on them."""
    catalog, _ = ready
    spec = first_member(config, ready)
    undisturbed, expected = train(config, spec)
    spec.folder(Location.of(config.workspace)).remove()
    before: list[dict[str, Any]] = []

    def kill_after_an_epoch(event: dict[str, Any]) -> None:
        before.append(event)
        if event["event"] == "epoch":
            raise KilledError  # run_child kills the process when its watcher fails

    with pytest.raises(KilledError):
        train(config, spec, kill_after_an_epoch)
    assert [event["event"] for event in before] == ["plan", "epoch"]
    assert before[0]["mode"] == "memory"
    assert load_record(spec.folder(Location.of(config.workspace))) is None

    after: list[dict[str, Any]] = []
    record, saved = train(config, spec, after.append)
    assert [event["event"] for event in after] == ["plan", "epoch", "epoch", "predict"]
    assert saved.keys() == expected.keys()
    for name, values in expected.items():
        assert np.array_equal(saved[name], values)
    assert record.history == undisturbed.history

    # and what a complete member says of itself
    epochs = [event for event in before + after if event["event"] == "epoch"]
    assert record.history == [{"loss": e["loss"], "held_out_kl": e["held_out_kl"]} for e in epochs]
    assert record.history[-1]["loss"] < record.history[0]["loss"]
    rows = partition(catalog, spec.validation, 0)
    assert np.array_equal(saved["held_out_rows"], rows.held_out)
    assert np.array_equal(saved["test_rows"], catalog.rows("test"))
    held_out = kl(catalog.labels[rows.held_out], saved["held_out"])
    assert record.held_out_kl == pytest.approx(held_out)
    for name in ("test", "held_out"):
        assert np.abs(saved[name].sum(axis=1) - 1).max() < 1e-5
    assert record.clips == len(rows.train)
    assert record.clips_per_second == pytest.approx(len(rows.train) * 3 / record.seconds)
    assert record.peak_memory_mb > 100
    assert sorted(record.files) == [MODEL_FILE, PREDICTIONS_FILE]
    names = {e.name for e in spec.folder(Location.of(config.workspace)).files()}
    own = {SPEC_FILE, "member.json", MODEL_FILE, PREDICTIONS_FILE, LOG_FILE, "progress.jsonl"}
    # The kill may have interrupted the write of the progress.
    names = {name for name in names if not name.startswith(".progress.jsonl.")}
    assert names == own | {"inference.json", "inference.onnx"}


def test_new_test_clips_are_predicted_without_training(
    finished: Finished, config: RunConfig, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(config.data, tmp_path / "data"))
    workspace = Path(shutil.copytree(finished.workspace, tmp_path / "copy"))
    shutil.copy(folder / "train" / "train_000000.wav", folder / "test" / "test_000003.wav")
    moved = config.model_copy(update={"data": str(folder), "workspace": str(workspace)})
    spec = first_member(moved, computed(moved))
    before = load_record(spec.folder(Location.of(workspace)))
    assert before is not None
    old = (spec.folder(Location.of(workspace)) / PREDICTIONS_FILE).read_arrays()
    events: list[dict[str, Any]] = []
    record, saved = train(moved, spec, events.append)
    assert [event["event"] for event in events] == ["predict"]
    assert record.test_key != before.test_key
    assert (record.history, record.seconds) == (before.history, before.seconds)
    changed = np.abs(saved["test"] - old["test"]).max(axis=1) > 0
    assert np.flatnonzero(changed).tolist() == [3]


@pytest.mark.nightly
def test_memory_changes_no_member(config: RunConfig, ready: Ready) -> None:
    """Begun in memory, killed, and ended by streaming: as if streamed from the beginning."""
    spec = first_member(config, ready)
    windows = spec.training.model_copy(update={"shuffle_clips": 16})
    held = spec.model_copy(update={"training": windows})
    streamed = spec.model_copy(update={"training": windows.model_copy(update={"memory_gb": 0.002})})
    assert streamed.fingerprint == held.fingerprint
    events: list[dict[str, Any]] = []

    def kill_after_an_epoch(event: dict[str, Any]) -> None:
        events.append(event)
        if event["event"] == "epoch":
            raise KilledError

    with pytest.raises(KilledError):
        train(config, held, kill_after_an_epoch)
    resumed, mixed = train(config, streamed, events.append)
    plans = [event for event in events if event["event"] == "plan"]
    assert [plan["mode"] for plan in plans] == ["memory", "stream"]
    assert plans[1]["bytes"] <= 2e6
    streamed.folder(Location.of(config.workspace)).remove()
    record, saved = train(config, streamed)
    assert resumed.history == record.history
    for name, values in saved.items():
        assert np.array_equal(mixed[name], values)


def test_a_diverging_training_restarts_once_and_then_fails(config: RunConfig, ready: Ready) -> None:
    spec = first_member(config, ready)
    wild = spec.model_copy(
        update={"training": spec.training.model_copy(update={"learning_rate": 1e30})}
    )
    events: list[dict[str, Any]] = []
    with pytest.raises(ChildError) as error:
        train(config, wild, events.append)
    for fact in ("seed 0 ", "seed 1000003 ", "training.learning_rate", "exit code 1"):
        assert fact in str(error.value)
    log = wild.folder(Location.of(config.workspace)) / LOG_FILE
    assert b"seed 1000003 " in log.read_bytes()
    assert [event["event"] for event in events] == ["plan", "diverged", "plan"]
    names = {e.name for e in wild.folder(Location.of(config.workspace)).files()}
    assert names == {SPEC_FILE, LOG_FILE, "progress.jsonl"}


def test_a_member_of_other_training_clips_is_refused(config: RunConfig, ready: Ready) -> None:
    spec = first_member(config, ready).model_copy(update={"training_key": "0" * 32})
    with pytest.raises(MemberError):
        run_member(Location.of(config.workspace), spec, lambda _event: None)
    assert load_record(spec.folder(Location.of(config.workspace))) is None


def test_a_member_leaves_with_its_parent(config: RunConfig, ready: Ready) -> None:
    """kill -9 of the worker that watches: the training must not go on by itself."""
    training = {"epochs": 5000, "batch_size": 16}
    long = RunConfig.model_validate(
        config.model_dump() | {"training": config.training.model_dump() | training}
    )
    spec, workspace = first_member(long, ready), Location.of(config.workspace)
    folder = spec.folder(workspace)
    (folder / SPEC_FILE).write_record(spec)
    code = (
        "import json, sys; from overlap.system.child_process import run_child\n"
        "def say(event): print(json.dumps(event), flush=True)\n"
        "run_child('overlap.training.member', sys.argv[1:], say)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, str(workspace), spec.fingerprint], stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        while json.loads(parent.stdout.readline())["event"] != "epoch":
            pass
        children = psutil.Process(parent.pid).children()
        assert len(children) == 1
        os.kill(parent.pid, signal.SIGKILL)
        started = time.monotonic()
        while children[0].is_running() and children[0].status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() - started < 30
            time.sleep(0.05)
    assert load_record(folder) is None
