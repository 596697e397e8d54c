"""Records of runs: stages, outcome, result; never an obstacle, and no part of any checksum."""

import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overlap.errors import MemberError
from overlap.io.location import Location
from overlap.io.records import FORMAT
from overlap.workspace import runs
from overlap.workspace.runs import RunRecord, current_run, read_runs, recorded_run
from overlap.workspace.verify import verify_workspace
from support.untrained_members import Ready


def test_a_run_has_its_stages_and_its_result(workspace: Location) -> None:
    with recorded_run(workspace, "retrain", data="/data", preset="demo", members=3) as run:
        (now,) = read_runs(workspace)
        assert now.state() == "running"
        stage = current_run().stage("features", 10)
        stage.move(4)
        stage.close()
        with recorded_run(workspace, "pool") as inner:  # a stage of the same run
            assert inner is run
            inner.stage("pooling")
        run.result("v1", promoted=True, reason="first champion")
    (record,) = read_runs(workspace)
    assert (record.kind, record.data, record.preset, record.members) == (
        "retrain", "/data", "demo", 3,
    )  # fmt: skip
    assert [(s.name, s.done, s.total) for s in record.stages] == [
        ("features", 4, 10), ("pooling", 0, 0),
    ]  # fmt: skip
    assert all(stage.ended for stage in record.stages)
    assert (record.state(), record.version, record.promoted) == ("completed", "v1", True)
    assert record.seconds() >= 0


def test_a_failure_has_the_first_line_and_the_code(
    workspace: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MY_PASSWORD", "sesame-open")

    def fail() -> None:
        with recorded_run(workspace, "train"):
            current_run().stage("members", 2)
            raise MemberError("no sesame-open here\nmore", code="members-failed")

    with pytest.raises(MemberError):
        fail()
    (record,) = read_runs(workspace)
    assert (record.outcome, record.code, record.error) == (
        "failed", "members-failed", "no *** here",
    )  # fmt: skip
    assert record.stages[0].ended == record.ended


def test_an_interruption_is_no_failure(workspace: Location) -> None:
    def interrupt() -> None:
        with recorded_run(workspace, "train"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupt()
    (record,) = read_runs(workspace)
    assert (record.outcome, record.error) == ("interrupted", "KeyboardInterrupt")


def test_a_killed_run_is_recognised_by_its_age() -> None:
    now = datetime.now(UTC)
    record = RunRecord(id="a", kind="train", started=now - timedelta(hours=2), written=now)
    assert record.state(now) == "running"
    old = record.model_copy(update={"written": now - timedelta(hours=1)})
    assert old.state(now) == "interrupted"
    assert old.seconds(now) == 3600


def test_a_workspace_that_cannot_be_written_ends_no_run(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("a file in the place of the folder")
    with recorded_run(Location.of(tmp_path), "train") as run:
        run.stage("members", 2).move(1)
    assert read_runs(Location.of(tmp_path)) == ()


def test_without_a_run_nothing_is_recorded(workspace: Location) -> None:
    stage = current_run().stage("features", 3)
    stage.move(3)
    stage.close()
    assert not workspace.exists()


def test_old_records_are_removed(workspace: Location, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "KEPT", 3)
    made = []
    for _ in range(5):
        with recorded_run(workspace, "features") as run:
            made.append(run)
    assert len(read_runs(workspace)) == 3
    assert len(read_runs(workspace, 2)) == 2


def test_damaged_and_newer_records_are_left_out(workspace: Location) -> None:
    with recorded_run(workspace, "features"):
        pass
    folder = workspace / "runs"
    (folder / "z.json").write_bytes(b"{")
    (folder / "y.json").write_json({FORMAT: 99})
    assert [record.kind for record in read_runs(workspace)] == ["features"]


def test_threads_report_to_the_run_that_started_them(workspace: Location) -> None:
    """Progress of a stage arrives from the threads of its tasks."""
    with recorded_run(workspace, "features"):
        stage = current_run().stage("features", 8)
        threads = [threading.Thread(target=stage.move, args=(n,)) for n in range(1, 9)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        stage.move(8)
    assert read_runs(workspace)[0].stages[0].done == 8


def test_a_working_run_writes_at_intervals(
    workspace: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A reader recognises a killed run by the age of its record."""
    monkeypatch.setattr(runs, "HEARTBEAT_SECONDS", 0.02)
    with recorded_run(workspace, "features"):
        first = read_runs(workspace)[0].written
        written = threading.Event()
        while read_runs(workspace)[0].written == first:
            written.wait(0.01)


def test_verification_accepts_the_records(ready: Ready, workspace: Location) -> None:
    with recorded_run(workspace, "features"):
        pass
    assert verify_workspace(workspace).faults == ()
    assert verify_workspace(workspace, recompute=0).newer == ()
