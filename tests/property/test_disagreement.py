"""Properties of the disagreement of an ensemble's members."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import entr

from overlap.ensemble.pooling import pool_mean
from overlap.metrics.disagreement import spread, spread_column

RAW = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1, width=32))
)


def distributions(raw: np.ndarray) -> np.ndarray:
    """Return rows, possibly with zeros, that sum to 1 within the rounding of float32."""
    raw = raw + 1e-30 + (raw.sum(axis=2, keepdims=True) == 0)
    return (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32).astype(np.float64)


@given(RAW)
def test_the_disagreement_is_the_jensen_shannon_divergence(raw: np.ndarray) -> None:
    shares = distributions(raw)
    pooled = pool_mean(shares)
    found = spread(shares, pooled)
    expected = entr(pooled).sum(axis=1) - entr(shares).sum(axis=2).mean(axis=0)
    assert np.abs(found - expected).max() < 1e-5
    assert (found >= 0).all()
    assert (found <= np.log(len(shares)) + 1e-5).all()
    assert np.array_equal(found, spread(shares[::-1], pooled))


@given(RAW)
def test_identical_members_do_not_disagree(raw: np.ndarray) -> None:
    same = np.repeat(distributions(raw)[:1], 3, axis=0)
    assert spread(same, pool_mean(same)).max() < 1e-6


def test_members_that_are_certain_of_different_words() -> None:
    certain = np.eye(3)[:, None]
    assert np.allclose(spread(certain, pool_mean(certain)), np.log(3))


def test_the_column_never_has_the_name_of_a_word() -> None:
    assert spread_column(("up", "down")) == "spread"
    assert spread_column(("up", "spread")) == "spread_nats"
