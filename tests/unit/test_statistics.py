"""Statistics from code counts are compared with those of the values."""

import numpy as np
import pytest

from overlap.features.code_counts import count_codes
from overlap.features.statistics import CODES, normalisation


def decibels(clips: int, seed: int = 0) -> np.ndarray:
    random = np.random.default_rng(seed)
    return random.normal([-30, -20], [15, 25], (clips, 5, 7, 2)).astype(np.float16)


def direct(values: np.ndarray, top_db: float) -> tuple[list[float], list[float], list[float]]:
    """Compute floor, mean and standard deviation directly from the values."""
    flat = values.astype(np.float64).reshape(-1, values.shape[-1])
    floor = flat.max(axis=0) - top_db
    clipped = np.maximum(flat, floor)
    return floor.tolist(), clipped.mean(axis=0).tolist(), clipped.std(axis=0).tolist()


def test_statistics_equal_those_of_the_values() -> None:
    values = decibels(50)
    found = normalisation(count_codes(values, np.zeros(50, int), 1)[0], 60)
    floor, mean, std = direct(values, 60)
    assert found.floor_db == tuple(floor)
    assert found.mean_db == pytest.approx(mean, rel=1e-12)
    assert found.std_db == pytest.approx(std, rel=1e-12)


def test_counts_add_up() -> None:
    values, splits = decibels(20), np.array([0, 1, -1, 0] * 5)
    whole = count_codes(values, splits, 2)
    parts = [count_codes(values[i : i + 3], splits[i : i + 3], 2) for i in range(0, 20, 3)]
    assert np.array_equal(whole, sum(parts))
    assert whole.shape == (2, 2, CODES)
    assert whole[0].sum() == 10 * 5 * 7 * 2
    assert whole[1].sum() == 5 * 5 * 7 * 2


def test_negative_zero_and_subnormals_are_values() -> None:
    values = np.array([-0.0, 0.0, 6e-8, -6e-8], np.float16).reshape(1, 2, 2, 1)
    found = normalisation(count_codes(values, np.zeros(1, int), 1)[0], 80)
    assert found.mean_db[0] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize(
    ("values", "message"),
    [(np.zeros((0, 2, 2, 1)), "no values"), (np.full((3, 2, 2, 1), -100), "no signal")],
)
def test_values_without_statistics_are_rejected(values: np.ndarray, message: str) -> None:
    counts = count_codes(values.astype(np.float16), np.zeros(len(values), int), 1)[0]
    with pytest.raises(ValueError, match=message):
        normalisation(counts, 80)
