"""The record that a worker leaves of a member."""

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


def test_a_worker_says_when_it_begins_and_how_it_ends(workspace: Location) -> None:
    assert placements(workspace) == []
    with record_placement(workspace, HERE):
        assert placements(workspace) == [HERE]
    (done,) = placements(workspace)
    assert done.ended > done.started
    assert done.fault is None
    later = HERE.model_copy(update={"started": datetime(2026, 1, 2, tzinfo=UTC)})
    with pytest.raises(OSError, match="lost"), record_placement(workspace, later):
        raise OSError("the accelerator was lost")
    first, second = placements(workspace)
    assert first == done
    assert (second.started, second.fault) == (later.started, "the accelerator was lost")


def test_the_process_that_trains_knows_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert placement_here() is None
    for name, value in HERE.environment().items():
        monkeypatch.setenv(name, value)
    there = placement_here()
    assert there.model_copy(update={"ended": None}) == HERE
    assert there.ended > HERE.started


def test_records_of_earlier_versions_have_none() -> None:
    assert not MemberRecord.model_fields["placement"].is_required()
    assert MemberRecord.model_fields["placement"].default is None
