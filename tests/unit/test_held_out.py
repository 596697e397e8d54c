"""Held-out predictions of several members, combined into rounds."""

import numpy as np
import pandas as pd
import pytest

from overlap.catalog import Catalog, partition
from overlap.catalog.rows import OK
from overlap.config import AudioFormat, ValidationConfig
from overlap.ensemble.held_out import combine_held_out, trivial_kl
from overlap.errors import CorruptError
from overlap.metrics.divergence import kl
from support.errors import raises


def catalog(clips: int) -> Catalog:
    ids = [f"clip_{i}" for i in range(clips)]
    table = pd.DataFrame({"clip_id": ids, "split": "train", "state": OK, "group": ""})
    labels = np.random.default_rng(0).dirichlet(np.ones(3), clips)
    return Catalog("", AudioFormat(1, 1), ("a", "b", "c"), table, labels)


def members(known: Catalog, validation: ValidationConfig, count: int):
    folds = validation.folds or 1
    found = []
    for index in range(count):
        rows = partition(known, validation, index % folds).held_out
        predictions = np.full((len(rows), 3), index / 10) + rows[:, None] / 1000
        found.append((index % folds, rows, predictions))
    return found


def test_a_hold_out_gives_a_round_per_member() -> None:
    known, validation = catalog(50), ValidationConfig(holdout=0.2)
    found = combine_held_out(known, validation, members(known, validation, 3))
    assert found is not None
    assert found.rounds.shape == (3, 10, 3)
    assert np.array_equal(found.labels, known.labels[found.rows])
    for index, predictions in enumerate(found.rounds):
        assert np.allclose(predictions[:, 0], index / 10 + found.rows / 1000)
    part = partition(known, validation, 0)
    mean = known.labels[part.train].mean(axis=0)
    assert trivial_kl(found) == pytest.approx(kl(found.labels, np.tile(mean, (10, 1))))


def test_folds_give_a_round_per_seed_over_all_clips() -> None:
    known, validation = catalog(50), ValidationConfig(holdout=0, folds=5)
    found = combine_held_out(known, validation, members(known, validation, 10))
    assert found is not None
    assert found.rows.tolist() == list(range(50))
    assert found.rounds.shape == (2, 50, 3)
    assert np.isfinite(found.rounds).all()
    for fold in range(5):
        rows = partition(known, validation, fold).held_out
        assert np.allclose(found.rounds[0, rows, 0], fold / 10 + rows / 1000)
        assert np.allclose(found.rounds[1, rows, 0], (fold + 5) / 10 + rows / 1000)


def test_with_a_member_missing_only_complete_rounds_are_scored() -> None:
    """Round k is the k-th available member of each fold, regardless of its seed."""
    known, validation = catalog(50), ValidationConfig(holdout=0, folds=5)
    present = members(known, validation, 15)
    del present[1]  # fold 1 of the first round
    found = combine_held_out(known, validation, present)
    assert found is not None
    assert found.members.tolist() == [[0, 5, 1, 2, 3], [4, 10, 6, 7, 8]]
    assert np.isfinite(found.rounds).all()
    first = partition(known, validation, 1).held_out
    assert np.allclose(found.rounds[0, first, 0], 6 / 10 + first / 1000)
    without = [member for member in present if member[0] != 1]
    empty = combine_held_out(known, validation, without)
    assert empty is not None
    assert empty.rounds.shape == (0, 50, 3)


def test_groups_are_those_of_the_catalogue() -> None:
    known, validation = catalog(50), ValidationConfig(holdout=0.2)
    found = combine_held_out(known, validation, members(known, validation, 1))
    assert found is not None
    assert found.groups.tolist() == list(range(10))
    known.clips["group"] = [f"g{i % 10}" for i in range(50)]
    found = combine_held_out(known, validation, members(known, validation, 1))
    assert found is not None
    assert found.groups.tolist() == [0, 1] * 5


def test_nothing_held_out_gives_nothing() -> None:
    known = catalog(5)
    assert combine_held_out(known, ValidationConfig(holdout=0), []) is None


def test_predictions_of_other_clips_are_refused() -> None:
    known, validation = catalog(50), ValidationConfig(holdout=0.2)
    fold, rows, predictions = members(known, validation, 1)[0]
    with raises(CorruptError, "wrong-held-out-rows", member=1, fold=0):
        combine_held_out(known, validation, [(fold, rows + 1, predictions)])
