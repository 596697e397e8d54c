"""Partition of the training clips into folds and hold-outs."""

import numpy as np
import pandas as pd

from overlap.catalog import Catalog, partition
from overlap.catalog.rows import OK
from overlap.config import AudioFormat, ValidationConfig
from overlap.errors import DataError
from support.errors import raises


def catalog(groups: list[str]) -> Catalog:
    """A catalogue of one training clip for each entry of `groups`."""
    size = len(groups)
    ids = [f"clip_{i}" for i in range(size)]
    clips = pd.DataFrame({"clip_id": ids, "split": "train", "state": OK, "group": groups})
    return Catalog("", AudioFormat(1, 1), ("a", "b"), clips, np.full((size, 2), 0.5))


def test_a_fraction_of_0_holds_nothing_out() -> None:
    part = partition(catalog([""] * 10), ValidationConfig(holdout=0), 0)
    assert part.train.tolist() == list(range(10))
    assert part.held_out.size == 0


def test_the_fraction_is_held_out() -> None:
    part = partition(catalog([""] * 1000), ValidationConfig(holdout=0.1), 0)
    assert len(part.held_out) == 100
    assert sorted([*part.train, *part.held_out]) == list(range(1000))


def test_groups_stay_together() -> None:
    groups = [f"g{i % 7}" for i in range(100)]
    part = partition(catalog(groups), ValidationConfig(holdout=0.2), 0)
    held = {groups[row] for row in part.held_out}
    assert held.isdisjoint(groups[row] for row in part.train)
    assert 20 <= len(part.held_out) < 50


def test_folds_hold_every_clip_out_once() -> None:
    groups = [f"g{i % 9}" for i in range(90)]
    parts = [partition(catalog(groups), ValidationConfig(holdout=0, folds=3), f) for f in range(3)]
    assert sorted(np.concatenate([p.held_out for p in parts])) == list(range(90))
    assert [len(p.held_out) for p in parts] == [30, 30, 30]
    for part in parts:
        assert {groups[r] for r in part.train}.isdisjoint(groups[r] for r in part.held_out)


def test_the_partition_depends_only_on_ids_and_seed() -> None:
    first = partition(catalog([""] * 200), ValidationConfig(seed=1), 0)
    assert np.array_equal(
        first.held_out, partition(catalog([""] * 200), ValidationConfig(seed=1), 0).held_out
    )
    assert not np.array_equal(
        first.held_out, partition(catalog([""] * 200), ValidationConfig(seed=2), 0).held_out
    )
    more = partition(catalog([""] * 220), ValidationConfig(seed=1), 0)
    stayed = set(first.held_out) & set(more.held_out)
    assert len(stayed) >= 0.9 * len(first.held_out)


def test_one_group_cannot_be_divided() -> None:
    with raises(DataError, "too-few-groups", groups=1, parts=2):
        partition(catalog(["g"] * 10), ValidationConfig(holdout=0.1), 0)


def test_training_keeps_at_least_one_group() -> None:
    part = partition(catalog(["a"] * 99 + ["b"]), ValidationConfig(holdout=0.5), 0)
    assert len(part.train) > 0
    assert len(part.held_out) > 0
