"""Properties of the disagreement between an ensemble's members."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.special import entr

from overlap.ensemble.pooling import pool_mean
from overlap.metrics.disagreement import disagreement, spread_column

RAW = st.tuples(st.integers(1, 6), st.integers(1, 4), st.integers(1, 5)).flatmap(
    lambda shape: arrays(np.float64, shape, elements=st.floats(0, 1, width=32))
)


def distributions(raw: np.ndarray) -> np.ndarray:
    """Turn numbers into rows that sum to 1 up to float32 rounding, including zeros."""
    raw = raw + 1e-30 + (raw.sum(axis=2, keepdims=True) == 0)
    return (raw / raw.sum(axis=2, keepdims=True)).astype(np.float32).astype(np.float64)


@given(RAW)
def test_disagreement_is_the_jensen_shannon_divergence_of_the_members(raw: np.ndarray) -> None:
    probabilities = distributions(raw)
    pooled = pool_mean(probabilities)
    found = disagreement(probabilities, pooled)
    expected = entr(pooled).sum(axis=1) - entr(probabilities).sum(axis=2).mean(axis=0)
    assert np.abs(found - expected).max() < 1e-5
    assert (found >= 0).all()
    assert (found <= np.log(len(probabilities)) + 1e-5).all()
    assert np.array_equal(found, disagreement(probabilities[::-1], pooled))


@given(RAW)
def test_equal_members_have_no_disagreement(raw: np.ndarray) -> None:
    same = np.repeat(distributions(raw)[:1], 3, axis=0)
    assert disagreement(same, pool_mean(same)).max() < 1e-6


def test_members_certain_of_different_words_disagree_most() -> None:
    certain = np.eye(3)[:, None]
    assert np.allclose(disagreement(certain, pool_mean(certain)), np.log(3))


def test_the_column_name_never_equals_a_word() -> None:
    assert spread_column(("up", "down")) == "spread"
    assert spread_column(("up", "spread")) == "spread_nats"
