"""The distribution over sets of exactly k words, compared with an enumeration of all sets."""

from itertools import combinations

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from overlap.catalog import equal_shares
from overlap.training.learner import Loss
from overlap.training.subset import SubsetShares, log_inclusion, log_partition

SIZES = [(1, 1), (2, 1), (3, 3), (5, 2), (8, 4), (9, 4), (11, 3)]


def scores_of(words: int, seed: int = 0, spread: float = 3.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, spread, (6, words)).astype(np.float32)


def enumerated(scores: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Return log Z and the inclusion probabilities, by enumeration in float64."""
    sets = list(combinations(range(scores.shape[1]), k))
    weights = np.array([[row[list(s)].sum() for s in sets] for row in scores.astype(np.float64)])
    total = logsumexp(weights, axis=1)
    probabilities = np.exp(weights - total[:, None])
    inside = np.array([[word in s for word in range(scores.shape[1])] for s in sets], float)
    return total, probabilities @ inside


def numpy_of(tensor: object) -> np.ndarray:
    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float64)


@pytest.mark.parametrize(("words", "k"), SIZES)
def test_partition_and_inclusion_match_the_enumeration(words: int, k: int) -> None:
    scores = scores_of(words)
    total, inclusion = enumerated(scores, k)
    assert numpy_of(log_partition(scores, k)) == pytest.approx(total, abs=1e-4)
    assert np.abs(np.exp(numpy_of(log_inclusion(scores, k))) - inclusion).max() < 1e-5


@settings(max_examples=25)
@given(st.integers(1, 6), st.integers(0, 30), st.floats(0, 30), st.integers(0, 1000))
def test_shares_sum_to_one_and_are_at_most_one_kth(
    k: int, more: int, spread: float, seed: int
) -> None:
    shares = numpy_of(SubsetShares(k)(scores_of(k + more, seed, spread)))
    assert np.abs(shares.sum(axis=1) - 1).max() < 1e-5
    assert shares.max() <= 1 / k + 1e-5


def test_sets_of_one_word_give_the_softmax() -> None:
    scores = scores_of(7)
    assert (
        np.abs(numpy_of(SubsetShares(1)(scores)) - numpy_of(keras.ops.softmax(scores))).max() < 1e-6
    )


def test_extreme_scores_stay_finite() -> None:
    scores = np.array([[80, 80, -80, -80, 0], [0, 0, 0, 0, 0], [1e4, 0, -1e4, 0, 0]], np.float32)
    shares = numpy_of(SubsetShares(2)(scores))
    assert np.isfinite(shares).all()
    assert shares[0] == pytest.approx([0.5, 0.5, 0, 0, 0], abs=1e-6)
    assert shares[1] == pytest.approx([0.2] * 5, abs=1e-6)


@pytest.mark.parametrize("k", [1, 2, 4])
def test_the_loss_is_the_negative_log_probability_of_the_true_set(k: int) -> None:
    scores = scores_of(9)
    chosen = np.argsort(-np.random.default_rng(1).random((6, 9)), axis=1)[:, :k]
    labels = np.zeros((6, 9), np.float32)
    np.put_along_axis(labels, chosen, 1 / k, axis=1)
    total, _ = enumerated(scores, k)
    expected = total - np.take_along_axis(scores, chosen, axis=1).sum(axis=1)
    layer = Loss(k)
    assert numpy_of(layer(scores, labels)) == pytest.approx(expected, abs=1e-4)
    assert float(layer.losses[0]) == pytest.approx(expected.mean(), abs=1e-4)


def test_the_softmax_loss_is_the_divergence() -> None:
    scores, labels = scores_of(5), np.random.default_rng(2).dirichlet(np.ones(5), 6)
    shares = numpy_of(keras.ops.softmax(scores))
    expected = (labels * np.log(labels / shares)).sum(axis=1)
    found = numpy_of(Loss(None)(scores, labels.astype(np.float32)))
    assert found == pytest.approx(expected, abs=1e-5)
    certain = np.eye(5, dtype=np.float32)[[0, 1, 2, 3, 4, 0]]
    assert np.isfinite(numpy_of(Loss(None)(scores, certain))).all()


def test_equal_shares_are_detected() -> None:
    third = np.array([[0.333, 0.333, 0.334, 0], [0, 0.333, 0.333, 0.334]])
    assert equal_shares(third) == 3
    assert equal_shares(np.eye(4)) == 1
    assert equal_shares(np.array([[0.7, 0.3], [0.5, 0.5]])) is None
    assert equal_shares(np.array([[0.5, 0.5], [1.0, 0.0]])) is None
    assert equal_shares(np.empty((0, 3))) is None
