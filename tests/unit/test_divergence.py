"""KL divergence, the trivial prediction and the score."""

import numpy as np
import pytest
from scipy.special import rel_entr

from overlap.metrics.divergence import SMALLEST, kl, score, trivial_prediction
from support.pooled_predictions import distributions, equal_labels

WORDS = ("a", "b", "c", "d")


def test_kl_equals_the_reference() -> None:
    p, q = equal_labels(50), distributions(50, 1)
    assert kl(p, q) == pytest.approx(rel_entr(p, q).sum(axis=1).mean(), rel=1e-12)
    assert kl(p, p) == 0


def test_a_missed_word_costs_a_finite_amount() -> None:
    p, q = np.array([[1.0, 0, 0, 0]]), np.array([[0, 1.0, 0, 0]])
    assert kl(p, q) == pytest.approx(-np.log(SMALLEST))


def test_arrays_of_different_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 4\).*\(4, 4\)"):
        kl(equal_labels(3), distributions(4))


def test_the_trivial_prediction_of_equal_labels() -> None:
    p = equal_labels(2000)
    q = trivial_prediction(p, len(p))
    assert kl(p, q) == pytest.approx(np.log(4 / 2), abs=0.01)


def test_the_parts_of_a_score_sum_to_it() -> None:
    p, q = equal_labels(100), distributions(100, 2)
    scored = score(p, q, WORDS, p.mean(axis=0))
    assert sum(scored.per_word.values()) == pytest.approx(scored.kl)
    assert scored.entropy == pytest.approx(np.log(2))
    assert scored.cross_entropy == pytest.approx(-(p * np.log(q)).sum(axis=1).mean())
    assert scored.low < scored.kl < scored.high
    assert scored.gain == pytest.approx(1 - scored.kl / scored.trivial_kl)


def test_one_hot_labels_have_no_entropy() -> None:
    assert score(np.eye(4), distributions(4), WORDS).entropy == 0.0
