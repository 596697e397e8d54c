"""A member's progress file: a line per epoch, resumed, restarted, and never an obstacle."""

import json

import pytest

from overlap.io.location import Location
from overlap.io.workspace_paths import MemberPaths
from overlap.training import progress
from overlap.training.progress import read_progress, recording


@pytest.fixture
def folder(tmp_path) -> Location:
    return Location.of(tmp_path / "members" / "abc")


def epoch(number: int, epochs: int = 4, **more) -> dict:
    values = {"loss": 1 / number, "held_out_kl": 2 / number, "seconds": 3.0 * number}
    return {"event": "epoch", "epoch": number, "epochs": epochs, "clips_per_second": 5.0} | (
        values | more
    )


def numbers(folder: Location) -> list[int]:
    return [one.epoch for one in read_progress(folder)]


def test_each_epoch_is_a_line_with_its_device(folder: Location) -> None:
    seen: list[dict] = []
    report = recording(folder, seen.append)
    events = [{"event": "plan", "device": "H100"}, *map(epoch, range(1, 5)), {"event": "predict"}]
    for event in events:
        report(event)
    assert seen == events
    found = read_progress(folder)
    assert [one.epoch for one in found] == [1, 2, 3, 4]
    assert (found[1].loss, found[1].held_out_kl, found[1].seconds) == (0.5, 1.0, 6.0)
    assert {one.device for one in found} == {"H100"}
    assert found[0].time.tzinfo is not None
    lines = MemberPaths(folder).progress.read_bytes().splitlines()
    assert json.loads(lines[0])["epochs"] == 4


def test_a_resumed_training_keeps_the_earlier_epochs(folder: Location) -> None:
    for number in (1, 2, 3):
        recording(folder, print)(epoch(number))
    assert numbers(folder) == [1, 2, 3]
    recording(folder, print)(epoch(3, loss=9.0))
    assert numbers(folder) == [1, 2, 3]
    assert read_progress(folder)[-1].loss == 9.0


@pytest.mark.parametrize("event", ["diverged", "again"])
def test_a_restart_begins_a_new_list(folder: Location, event: str) -> None:
    report = recording(folder, print)
    report(epoch(1))
    report({"event": event, "reason": ""})
    assert read_progress(folder) == ()
    report(epoch(1, loss=7.0))
    report({"event": "predict"})
    assert [one.loss for one in read_progress(folder)] == [7.0]


def test_frequent_epochs_are_written_together(
    folder: Location, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write = Location.write_bytes
    monkeypatch.setattr(
        Location, "write_bytes", lambda self, data: (written.append(len(data)), write(self, data))
    )
    report = recording(folder, print)
    for number in range(1, 101):
        report(epoch(number, 100))
    assert numbers(folder) == [*range(1, 101)]
    assert len(written) < 20


def test_a_folder_that_cannot_be_written_ends_no_training(folder: Location, tmp_path) -> None:
    (tmp_path / "members").write_text("a file in the place of the folder")
    seen: list[dict] = []
    report = recording(folder, seen.append)
    report(epoch(1))
    report(epoch(4))
    assert len(seen) == 2


def test_an_incomplete_event_ends_no_training(folder: Location) -> None:
    recording(folder, print)({"event": "epoch"})
    assert read_progress(folder) == ()


def test_damaged_lines_and_later_fields_are_skipped(folder: Location) -> None:
    recording(folder, print)(epoch(4))
    file = MemberPaths(folder).progress
    line = json.loads(file.read_bytes())
    later = json.dumps(line | {"epoch": 2, "later": [1]}).encode()
    file.write_bytes(b"\n".join([b"{", b"3", b"\xff", later, file.read_bytes()]))
    assert numbers(folder) == [2, 4]


def test_a_loss_that_is_not_finite_is_unknown(folder: Location) -> None:
    recording(folder, print)(epoch(4, loss=float("nan")))
    assert read_progress(folder)[0].loss is None


def test_the_file_stays_small(folder: Location) -> None:
    report = recording(folder, print)
    report({"event": "plan", "device": "NVIDIA H100 80GB HBM3"})
    for number in range(1, 201):
        report(epoch(number, 200))
    assert MemberPaths(folder).progress.size() < 60_000
    assert progress.WRITE_SECONDS <= 2
