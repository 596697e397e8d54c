"""What a run reports when members fail: its cluster's loss, or the members' own errors."""

from types import SimpleNamespace
from typing import Any

import pytest

from flows.retrain import _judge_failures
from overlap.errors import ClusterLostError, DivergedError, MemberError, OverlapError


def members(*, sufficient: bool = False) -> Any:
    """Return what the judgement reads of the members of a run."""
    return SimpleNamespace(specs=(0, 1, 2), sufficient=sufficient, complete=())


LOST = ClusterLostError("the scheduler is gone", code="scheduler-lost", address="tcp://a:1")
DIVERGED = DivergedError("the loss is not finite")


def judged(failed: dict[int, OverlapError]) -> OverlapError:
    """Return the error that a run raises for failed members."""
    with pytest.raises(OverlapError) as error:
        _judge_failures(failed, members())
    return error.value


def test_a_lost_cluster_is_the_cause() -> None:
    """If every failed member lost the cluster, so did the run."""
    error = judged({2: LOST, 1: LOST})
    assert isinstance(error, ClusterLostError)
    assert (error.code, error.fields) == ("scheduler-lost", {"address": "tcp://a:1"})
    first = str(error).splitlines()[0]
    assert first.index("2 of 3 members") < first.index("member 1 of 3") < first.index(str(LOST))


@pytest.mark.parametrize("failed", [{1: DIVERGED}, {1: LOST, 3: DIVERGED}])
def test_a_member_with_its_own_error_is_a_failed_member(failed: dict[int, OverlapError]) -> None:
    """One member that failed by itself is enough."""
    error = judged(failed)
    assert isinstance(error, MemberError)
    assert (error.code, error.fields) == ("members-failed", {"failed": len(failed), "planned": 3})
    assert all(f"member {number} of 3: {one}" in str(error) for number, one in failed.items())


def test_enough_members_are_complete(monkeypatch: pytest.MonkeyPatch) -> None:
    """The failures are noted."""
    noted: list[str] = []
    monkeypatch.setattr("flows.retrain.note", noted.append)
    _judge_failures({1: LOST}, members(sufficient=True))
    assert str(LOST) in noted[0]
