"""The pooling methods, and the selection among them."""

import numpy as np
import pytest
from pydantic import TypeAdapter

from overlap.ensemble.pooling import (
    FIT_FUNCTIONS,
    POOLING_METHODS,
    Pool,
    fit_greedy,
    fit_power,
    fit_temperature,
    pool_mean,
)
from overlap.ensemble.selection import select_pool, split_into_parts
from overlap.metrics.divergence import kl
from support.pooled_predictions import held_out, noisy, softened, tempered


def test_the_pool_is_the_mean() -> None:
    members = noisy(softened(20), 5)
    assert np.abs(Pool()(members) - members.mean(axis=0)).max() < 1e-15


@pytest.mark.parametrize("true", [0.6, 1.0, 1.7])
def test_a_known_temperature_is_found(true: float) -> None:
    labels = softened(300)
    pool = fit_temperature(np.stack([tempered(labels, true)] * 3), labels)
    assert pool.temperature == pytest.approx(true, rel=1e-3)
    assert kl(labels, pool(np.stack([tempered(labels, true)] * 3))) < 1e-6


@pytest.mark.parametrize("true", [-1.0, 0.0, 0.5, 1.0, 2.0])
def test_a_known_exponent_is_found(true: float) -> None:
    members = noisy(softened(400), 4, noise=1.0)
    labels = Pool("power", exponent=true)(members)
    assert fit_power(members, labels).exponent == pytest.approx(true, abs=1e-2)


def test_a_single_member_has_no_exponent() -> None:
    labels = softened(30)
    one = noisy(labels, 1)
    assert fit_power(one, labels).exponent == 1
    assert np.array_equal(fit_power(one, labels)(one), pool_mean(one))


def test_greedy_drops_a_useless_member() -> None:
    labels = softened(300)
    members = noisy(labels, 4)
    members[2] = tempered(members[2][::-1], 4)  # confident, but about other clips
    pool = fit_greedy(members, labels)
    assert pool.weights[2] == 0
    assert sum(pool.weights) == pytest.approx(1)
    assert min(pool.weights[n] for n in (0, 1, 3)) > 0.2
    assert kl(labels, pool(members)) < kl(labels, pool_mean(members)) - 0.01


def test_a_zero_of_one_member_is_no_veto() -> None:
    members = np.stack([np.array([[0.0, 1.0]]), np.array([[0.5, 0.5]])])
    pooled = Pool("power", exponent=0.0)(members)
    assert pooled[0, 0] > 1e-4
    assert np.isfinite(Pool("temperature", temperature=0.2)(members)).all()


def test_a_wrong_number_of_weights_is_refused() -> None:
    with pytest.raises(ValueError, match="2 weights.*3 members"):
        Pool("greedy", weights=(0.5, 0.5))(noisy(softened(5), 3))


@pytest.mark.parametrize("method", POOLING_METHODS)
def test_a_pool_survives_json_and_pools_block_by_block(method) -> None:
    labels = softened(50)
    members = noisy(labels, 4)
    pool = FIT_FUNCTIONS[method](members, labels)
    again = TypeAdapter(Pool).validate_json(TypeAdapter(Pool).dump_json(pool))
    assert again == pool
    pooled = pool(members)
    blocks = [pool(members[:, start : start + 7]) for start in range(0, 50, 7)]
    assert np.array_equal(np.concatenate(blocks), pooled)
    assert pooled.dtype == np.float64
    assert pool(members.astype(np.float32)).dtype == np.float64


# --- selection -------------------------------------------------------------------------------


def test_auto_keeps_the_mean_of_equal_members() -> None:
    labels = softened(200)
    members = np.stack([noisy(labels, 1)[0]] * 4)
    found = select_pool("auto", held_out(members, labels), 4)
    assert [score.way for score in found.choice.ways] == [*POOLING_METHODS]
    members = np.stack([labels] * 4)
    found = select_pool("auto", held_out(members, labels), 4)
    assert found.pool == Pool()
    assert found.kl == pytest.approx(0, abs=1e-12)


def test_auto_selects_a_temperature_that_is_better() -> None:
    labels = softened(300)
    members = tempered(noisy(labels, 4, 0.3), 2.0)  # overconfident
    found = select_pool("auto", held_out(members, labels), 4)
    assert found.pool.kind == "temperature"
    assert found.pool.temperature > 1.5
    mean, temperature = found.choice.ways[:2]
    assert mean.low > 0.01
    assert temperature.kl == pytest.approx(found.kl)
    assert found.choice.reason.startswith("temperature: ")


def test_auto_selects_weights_that_are_better() -> None:
    labels = softened(300)
    members = noisy(labels, 6, 0.3)
    members[3:] = members[3:, ::-1]
    found = select_pool("auto", held_out(members, labels), 6)
    assert found.pool.kind == "greedy"
    assert found.pool.weights[3:] == (0, 0, 0)
    assert found.kl == pytest.approx(kl(labels, found.held_out))


def test_the_score_is_cross_validated() -> None:
    labels = softened(40)
    members = noisy(labels, 30, 2.0)  # many members, few clips: weights overfit
    found = select_pool("greedy", held_out(members, labels), 30)
    inside = kl(labels, fit_greedy(members, labels)(members))
    assert found.kl > inside + 0.01
    assert [score.way for score in found.choice.ways] == ["mean", "greedy"]


def test_with_folds_a_weight_belongs_to_a_round() -> None:
    labels = softened(300)
    rounds = noisy(labels, 3)
    rounds[1] = tempered(rounds[1][::-1], 4)
    found = select_pool("greedy", held_out(rounds, labels, folds=2), 7)
    weights = found.pool.weights
    assert len(weights) == 7
    assert weights[0] == weights[1] > 0
    assert weights[2:4] == (0, 0)
    assert weights[6] == 0  # beyond the last complete round
    assert sum(weights) == pytest.approx(1)


def test_nothing_held_out() -> None:
    found = select_pool("auto", None, 3)
    assert found.pool == Pool()
    assert found.kl is None
    assert found.choice.ways == ()
    with pytest.raises(ValueError, match="power"):
        select_pool("power", None, 3)


def test_groups_stay_together() -> None:
    groups = np.random.default_rng(0).integers(0, 8, 100)
    parts = split_into_parts(groups)
    assert all(len(set(parts[groups == group])) == 1 for group in range(8))
    assert len(set(parts)) == 5
    assert len(set(split_into_parts(np.zeros(20, np.int64)))) == 5  # one group: single clips
    assert split_into_parts(np.zeros(1, np.int64)) is None
    labels = softened(20)
    one = held_out(noisy(labels, 3), labels, np.zeros(20, np.int64))
    several = held_out(noisy(labels, 3), labels)
    reasons = [select_pool("auto", clips, 3).choice.reason for clips in (one, several)]
    assert ["one group" in reason for reason in reasons] == [True, False]


def test_a_single_held_out_clip() -> None:
    labels = softened(1)
    found = select_pool("auto", held_out(noisy(labels, 3), labels), 3)
    assert found.pool == Pool()
    assert [score.way for score in found.choice.ways] == ["mean"]
