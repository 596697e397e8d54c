"""Properties of every pool, for any predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from overlap.ensemble.pooling import FIT_FUNCTIONS, POOLING_METHODS, Pool

MEMBERS = hnp.arrays(
    np.float64, st.tuples(st.integers(1, 6), st.integers(1, 8), st.just(4)),
    elements=st.floats(1e-6, 1),
).map(lambda values: values / values.sum(axis=-1, keepdims=True))  # fmt: skip
UNWEIGHTED = st.one_of(
    st.just(Pool()),
    st.floats(0.2, 5).map(lambda t: Pool("temperature", temperature=t)),
    st.floats(-2, 4).map(lambda r: Pool("power", exponent=r)),
)


@given(MEMBERS, UNWEIGHTED, st.integers(0, 99))
def test_pools_are_bitwise_independent_of_the_order_and_rows_sum_to_one(
    members: np.ndarray, pool: Pool, seed: int
) -> None:
    pooled = pool(members)
    shuffled = members[np.random.default_rng(seed).permutation(len(members))]
    assert np.array_equal(pool(shuffled), pooled)
    assert np.abs(pooled.sum(axis=1) - 1).max() < 1e-12
    assert (pooled >= 0).all()


@given(MEMBERS, st.integers(0, 99))
def test_a_weight_follows_its_member(members: np.ndarray, seed: int) -> None:
    rng = np.random.default_rng(seed)
    weights, order = rng.dirichlet(np.ones(len(members))), rng.permutation(len(members))
    pooled = Pool("greedy", weights=tuple(weights))(members)
    shuffled = Pool("greedy", weights=tuple(weights[order]))(members[order])
    assert np.array_equal(shuffled, pooled)
    assert np.abs(pooled.sum(axis=1) - 1).max() < 1e-12


@given(MEMBERS, st.sampled_from([-1e-5, -1e-7, 0.0, 1e-7, 1e-5]))
def test_an_exponent_near_zero_is_the_geometric_mean(members: np.ndarray, exponent: float) -> None:
    geometric = np.exp(np.log(members).mean(axis=0))
    geometric /= geometric.sum(axis=1, keepdims=True)
    pooled = Pool("power", exponent=exponent)(members)
    assert pooled == pytest.approx(geometric, rel=1e-3, abs=1e-4)


@given(MEMBERS)
def test_an_exponent_or_temperature_of_one_is_the_mean(members: np.ndarray) -> None:
    mean = Pool()(members)
    assert np.array_equal(Pool("power", exponent=1.0)(members), mean)
    assert np.array_equal(Pool("temperature", temperature=1.0)(members), mean)
    near = Pool("power", exponent=1 + 1e-9)(members)
    assert near == pytest.approx(mean, rel=1e-6, abs=1e-6)


@given(MEMBERS, st.sampled_from(POOLING_METHODS), st.integers(0, 99))
def test_every_fit_gives_a_pool(members: np.ndarray, method, seed: int) -> None:
    labels = np.random.default_rng(seed).dirichlet(np.ones(4), members.shape[1])
    pooled = FIT_FUNCTIONS[method](members, labels)(members)
    assert np.isfinite(pooled).all()
    assert np.abs(pooled.sum(axis=1) - 1).max() < 1e-9
