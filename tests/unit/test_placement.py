"""The records of the workers on which a member was trained."""

from datetime import UTC, datetime

import pytest

from overlap.io.location import Location
from overlap.training.placement import (
    Placement,
    placement_here,
    placements,
    record_placement,
)
from overlap.training.spec import MemberRecord

HERE = Placement(
    worker="tcp://127.0.0.1:4000", name="gpu-a", host="here", process=7, resources={"GPU": 1},
    started=datetime(2026, 1, 1, tzinfo=UTC),
)  # fmt: skip


def test_a_placement_records_start_end_and_fault(workspace: Location) -> None:
    assert placements(workspace) == []
    with record_placement(workspace, HERE):
        assert placements(workspace) == [HERE]
    (completed,) = placements(workspace)
    assert completed.ended > completed.started
    assert completed.fault is None
    later = HERE.model_copy(update={"started": datetime(2026, 1, 2, tzinfo=UTC)})
    with pytest.raises(OSError, match="lost"), record_placement(workspace, later):
        raise OSError("the accelerator was lost")
    first, second = placements(workspace)
    assert first == completed
    assert (second.started, second.fault) == (later.started, "the accelerator was lost")


def test_the_training_process_knows_its_placement(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement_here() is None
    for name, value in HERE.environment().items():
        monkeypatch.setenv(name, value)
    found = placement_here()
    assert found.model_copy(update={"ended": None}) == HERE
    assert found.ended > HERE.started


def test_older_records_have_no_placement() -> None:
    assert not MemberRecord.model_fields["placement"].is_required()
    assert MemberRecord.model_fields["placement"].default is None
