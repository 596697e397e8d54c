"""Drift computed from counts equals the drift of the values, for arbitrary values."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy.stats import ks_2samp, wasserstein_distance

from overlap.features.code_counts import count_codes
from overlap.features.drift import drift

values = hnp.arrays(np.float16, st.integers(1, 40), elements=st.floats(-100, 60, width=16))
spread = values.filter(lambda some: np.ptp(np.maximum(some, some.max() - 1)) > 0.01)
"""Values whose standard deviation is positive for every floor."""


def counts(some: np.ndarray) -> np.ndarray:
    return count_codes(some.reshape(-1, 1, 1, 1), np.zeros(len(some), int), 1)[0]


def close(found: float, expected: float) -> bool:
    return bool(np.isclose(found, expected, rtol=1e-9, atol=1e-9))


@given(mine=values, theirs=spread, top_db=st.floats(1, 120))
def test_measures_equal_those_of_the_values(
    mine: np.ndarray, theirs: np.ndarray, top_db: float
) -> None:
    (found,) = drift(counts(mine), counts(theirs), top_db)
    x, y = mine.astype(np.float64), theirs.astype(np.float64)
    assert close(found.wasserstein_db, wasserstein_distance(x, y))
    assert close(found.ks, ks_2samp(x, y, method="asymp").statistic)
    assert close(found.mean_db, x.mean() - y.mean())
    assert close(found.std_db, x.std() - y.std())
    assert found.peak_db == x.max() - y.max()
    floor = y.max() - top_db
    x, y = np.maximum(x, floor), np.maximum(y, floor)
    assert close(found.network_shift * y.std(), wasserstein_distance(x, y))


@pytest.mark.extended
@given(mine=spread, theirs=spread)
def test_distances_are_symmetric_and_differences_change_sign(
    mine: np.ndarray, theirs: np.ndarray
) -> None:
    (there,), (back,) = (
        drift(counts(a), counts(b), 80) for a, b in ((mine, theirs), (theirs, mine))
    )
    assert (there.wasserstein_db, there.ks) == (back.wasserstein_db, back.ks)
    assert there.mean_db == -back.mean_db
    assert there.std_db == -back.std_db
    assert there.peak_db == -back.peak_db


@pytest.mark.extended
@given(mine=values, theirs=spread, times=st.integers(1, 10**6), of_theirs=st.integers(1, 10**6))
def test_measures_do_not_depend_on_the_number_of_clips(
    mine: np.ndarray, theirs: np.ndarray, times: int, of_theirs: int
) -> None:
    (once,) = drift(counts(mine), counts(theirs), 80)
    (often,) = drift(counts(mine) * times, counts(theirs) * of_theirs, 80)
    assert (often.wasserstein_db, often.ks) == (once.wasserstein_db, once.ks)
    assert close(often.mean_db, once.mean_db)
    assert close(often.std_db, once.std_db)
    assert close(often.network_shift, once.network_shift)


@given(some=spread, seed=st.integers(0, 99), times=st.integers(1, 1000))
def test_equal_sets_have_no_drift(some: np.ndarray, seed: int, times: int) -> None:
    shuffled = np.random.default_rng(seed).permutation(some)
    (found,) = drift(counts(shuffled) * times, counts(some), 80)
    assert found.wasserstein_db == found.ks == found.peak_db == found.network_shift == 0
    assert close(found.mean_db, 0)
    assert close(found.std_db, 0)


@given(some=spread, gain=st.integers(1, 30))
def test_the_distance_of_a_gain_is_the_gain(some: np.ndarray, gain: int) -> None:
    whole = np.round(some).astype(np.float16)  # integers below 2048 are exact in float16
    assume(np.ptp(whole) > 0)
    (found,) = drift(counts(whole + np.float16(gain)), counts(whole), 1000)
    assert close(found.wasserstein_db, gain)
    assert close(found.mean_db, gain)
    assert found.peak_db == gain
