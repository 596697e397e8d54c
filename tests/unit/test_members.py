"""Which members are pending and which are published; the members are not trained."""

from collections import Counter

import numpy as np
import pytest

from overlap.catalog import list_data
from overlap.config import RunConfig
from overlap.ensemble import registry
from overlap.ensemble.members import Members, MemberTracker, load_members
from overlap.ensemble.pooling import Pool
from overlap.ensemble.registry import EnsembleRecord
from overlap.errors import NotReadyError
from overlap.io.location import Location
from overlap.io.workspace_paths import ENSEMBLE_FILE, MEMBER_FILE, PREDICTIONS_FILE
from overlap.metrics.divergence import kl
from overlap.promotion.decision import consider
from overlap.reporting.result_tables import kl_table
from overlap.training.spec import plan_members
from overlap.workspace.pending import pending_work
from overlap.workspace.verify import verify_workspace
from support.counted_calls import counted_reads
from support.errors import raises
from support.trials import trial
from support.untrained_members import Ready, complete, published, with_ensemble

FOLDS = {"holdout": 0, "folds": 2}


def state(config: RunConfig, ready: Ready) -> Members:
    return load_members(Location.of(config.workspace), config, *ready)


def numbers(members: Members) -> list[int]:
    return [number for number, _ in members.pending]


def facts(members: Members) -> tuple[object, ...]:
    return members.pending, members.complete, members.trained, members.stop


def members_left(config: RunConfig) -> int:
    return pending_work(config, list_data(config.data)).members


def test_versions_stay_in_order_when_the_clock_is_set_back(config: RunConfig, ready: Ready) -> None:
    complete(config, ready, [1, 2])
    workspace = Location.of(config.workspace)
    ahead = published(with_ensemble(config, members=1), ready)
    moved = ahead.model_copy(
        update={"created": ahead.created.replace(year=2999), "version": "29990102-000000-aaaaaaaa"}
    )
    registry.folder_of(workspace, ahead).remove()
    (registry.folder_of(workspace, moved) / ENSEMBLE_FILE).write_record(moved)
    later = published(with_ensemble(config, members=2), ready)
    assert later.created > moved.created
    assert [r.version for r in registry.list_ensembles(workspace)] == [moved.version, later.version]


# --- fewer members than planned --------------------------------------------------------------


def test_all_planned_members_are_required_by_default(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, members=3)
    complete(config, ready, [2])
    members = state(config, ready)
    assert numbers(members) == [1, 3]
    assert members_left(config) == 2
    assert not members.sufficient
    with raises(NotReadyError, "members-missing", complete=1, planned=3):
        published(config, ready)
    complete(config, ready, [1, 3])
    record = published(config, ready)
    assert record.fewer is None
    assert len(record.members) == len(record.curve) == 3
    assert record.law is not None
    assert record.kl == pytest.approx(record.curve[-1].kl)


def test_min_members_suffice_to_publish(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, members=4, min_members=3)
    complete(config, ready, [1, 4])
    assert not state(config, ready).sufficient
    complete(config, ready, [3])
    record = published(config, ready)
    assert record.fewer.startswith("3 of 4 members; missing members: 2;")
    assert "ensemble.min_members" in record.fewer
    assert len(record.members) == 3
    assert numbers(state(config, ready)) == [2]  # a later run tries again
    assert published(config, ready) == record
    complete(config, ready, [2])
    later = published(config, ready)
    assert later.fewer is None
    assert later.version != record.version


def test_folds_need_a_complete_round(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, FOLDS, members=6, min_members=2)
    complete(config, ready, [1, 3, 5])  # all of fold 0
    assert not state(config, ready).sufficient
    complete(config, ready, [4])
    record = published(config, ready)
    assert len(record.members) == 4
    assert [point.members for point in record.curve] == [1]
    assert record.per_round == 2
    pair = [record.members[0], record.members[2]]  # the first complete member of each fold
    saved = [
        (Location.of(config.workspace) / "members" / name / PREDICTIONS_FILE).read_arrays()
        for name in pair
    ]
    labels = ready[0].labels
    parts = [kl(labels[part["held_out_rows"]], part["held_out"]) for part in saved]
    weights = [len(part["held_out_rows"]) for part in saved]
    assert record.kl == pytest.approx(np.average(parts, weights=weights))


# --- stopping --------------------------------------------------------------------------------


@pytest.mark.extended
def test_training_stops_when_the_expected_gain_is_too_small(
    config: RunConfig, ready: Ready
) -> None:
    off = with_ensemble(config, members=12)
    complete(off, ready, range(1, 13))
    gains = {}
    for least in np.geomspace(1e-5, 1, 60):
        stop = state(with_ensemble(config, members=12, stop_when_gain_below=least), ready).stop
        if stop:
            gains[stop.members] = least
    stops = sorted(gains)
    assert stops[0] == 3
    assert len(stops) > 2
    at = stops[1]
    on = with_ensemble(config, members=12, stop_when_gain_below=gains[at])
    workspace = Location.of(config.workspace)
    specs = plan_members(on, *ready)
    for spec in specs:
        spec.folder(workspace).remove()
    for number in range(1, at + 1):
        assert numbers(state(on, ready)) == [*range(number, 13)]
        complete(on, ready, [number])
    assert numbers(state(on, ready)) == []
    assert members_left(on) == 0
    record = published(on, ready)
    assert len(record.members) == at
    assert record.fewer.startswith(f"{at} of 12 members; training stopped after {at}:")
    # Members in training finish and are pooled; the stopping point does not change.
    stop = state(on, ready).stop
    complete(on, ready, [at + 2])
    assert numbers(state(on, ready)) == []
    assert state(on, ready).stop == stop
    later = published(on, ready)
    assert len(later.members) == at + 1
    assert published(on, ready) == later


@trial(
    "R",
    "`ensemble.members` 1,000 with `ensemble.stop_when_gain_below`",
    "own",
    "Every record and every prediction is read again for each member: a million readings.",
    "Each is read once, and a record once more when its member ends.",
)
@pytest.mark.parametrize("validation", [None, FOLDS])
def test_a_tracker_reads_each_file_once_and_decides_the_same(
    config: RunConfig, ready: Ready, validation: dict | None
) -> None:
    config = with_ensemble(config, validation, members=12, stop_when_gain_below=2e-2)
    tracker = MemberTracker(Location.of(config.workspace), config, *ready)
    expected, found, reads = [], [], Counter[str]()
    for number in (2, 1, *range(3, 13)):
        complete(config, ready, [number])
        expected.append(facts(state(config, ready)))
        with pytest.MonkeyPatch.context() as patch:
            counted = counted_reads(patch)
            tracker.reread(number)
            found.append(facts(tracker.members()))
        reads += counted
    assert found == expected
    stop = tracker.members().stop
    assert stop is not None
    # After the decision no prediction is needed.
    assert reads == {MEMBER_FILE: 12, PREDICTIONS_FILE: stop.members}


def test_gaps_are_filled_before_the_stopping_point_is_sought(
    config: RunConfig, ready: Ready
) -> None:
    config = with_ensemble(config, members=6, stop_when_gain_below=1.0)
    complete(config, ready, [1, 2, 4, 5])
    assert numbers(state(config, ready)) == [3, 6]
    complete(config, ready, [3])
    assert numbers(state(config, ready)) == []


def test_only_trained_members_predict_new_test_clips(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, members=6, stop_when_gain_below=1.0)
    complete(config, ready, [1, 2, 3, 5], tests="other")
    members = state(config, ready)
    assert members.complete == []
    assert numbers(members) == [1, 2, 3, 5]
    assert not members.sufficient


# --- the published pool ----------------------------------------------------------------------


def test_a_run_is_complete_once_its_version_is_considered(config: RunConfig, ready: Ready) -> None:
    """A run that was killed between publication and comparison still has work to do."""
    config = with_ensemble(config, members=2)
    complete(config, ready, [1, 2])
    made, workspace = published(config, ready), Location.of(config.workspace)
    assert pending_work(config, list_data(config.data)).published is None
    assert consider(workspace, made, config.promotion).promoted
    assert pending_work(config, list_data(config.data)).published == made.version


@pytest.mark.parametrize("pool", ["mean", "temperature", "power", "greedy", "auto"])
def test_the_record_contains_the_fitted_pool(config: RunConfig, ready: Ready, pool: str) -> None:
    config = with_ensemble(config, members=4, pool=pool)
    complete(config, ready, range(1, 5))
    made, workspace = published(config, ready), Location.of(config.workspace)
    (record,) = registry.list_ensembles(workspace)
    assert record.fitted == made.fitted
    assert record.choice == made.choice
    tests = np.stack(
        [
            (workspace / "members" / name / PREDICTIONS_FILE).read_arrays()["test"]
            for name in record.members
        ]
    )
    folder = registry.folder_of(workspace, record)
    saved = (folder / PREDICTIONS_FILE).read_arrays()
    assert np.array_equal(record.fitted(tests), saved["test"])
    labels = ready[0].labels[saved["held_out_rows"]]
    assert record.kl == pytest.approx(kl(labels, saved["held_out"]))
    faults = [fault.what for fault in verify_workspace(workspace, 0).faults]
    assert [what for what in faults if what.startswith("ensemble")] == []
    methods = [score.way for score in record.choice.ways]
    assert methods[0] == "mean"
    assert len(methods) == {"mean": 1, "auto": 4}.get(pool, 2)


def test_auto_without_held_out_clips_is_the_mean(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, {"holdout": 0}, members=2, pool="auto")
    complete(config, ready, [1, 2])
    record = published(config, ready)
    assert (record.fitted.kind, record.kl, record.curve) == ("mean", None, ())
    assert record.choice.ways == ()


def test_an_older_record_is_the_mean(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, members=2)
    complete(config, ready, [1, 2])
    made = published(config, ready)
    new = {"fitted", "choice", "law", "more", "fewer"}
    older = EnsembleRecord.model_validate(made.model_dump(mode="json", exclude=new))
    assert older.fitted == made.fitted == Pool()
    assert (older.choice, older.law, older.more, older.fewer) == (None, None, None, None)
    assert [row["what"] for row in kl_table(older)][2:4] == ["ensemble of 1", "ensemble of 2"]


def test_the_table_of_an_ensemble(config: RunConfig, ready: Ready) -> None:
    config = with_ensemble(config, FOLDS, members=6, pool="power")
    complete(config, ready, range(1, 7))
    record = published(config, ready)
    rows = {row["what"]: (row["KL"], row["95 %"]) for row in kl_table(record)}
    assert [*rows][6:] == [
        "ensemble of 2", "ensemble of 4", "ensemble of 6", "ensemble of 11 (expected)",
        "pooled by mean", "pooled by power", "trivial (mean training label)",
    ]  # fmt: skip
    last = record.curve[-1]
    assert rows["ensemble of 6"] == (f"{last.kl:.4f}", f"{last.low:.4f} to {last.high:.4f}")
    assert "best" in {rows["pooled by mean"][1], rows["pooled by power"][1]}
