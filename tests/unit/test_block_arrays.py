"""The fused block on NumPy arrays: definition, gradient, pieces and threads."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from overlap.training.engine import pieces
from overlap.training.engine.block_arrays import BlockInput, backward, forward
from overlap.training.engine.pieces import PIECE, ROW, Floats, Layout
from support.block_definition import (
    EPSILON,
    Array,
    block,
    block_gradient,
    gradient_by_differences,
    inputs,
)

SHAPES = [(4, 5, 3, 6), (7, 3), (40, 31, 7, 60), (3, 1500), (13, 64)]
"""Rows of several positions, of one, and shorter last rows; the third has four pieces."""


def floats(given: dict[str, Array]) -> dict[str, Floats]:
    return {name: values.astype(np.float32) for name, values in given.items()}


def exact(given: dict[str, Floats]) -> dict[str, Array]:
    return {name: values.astype(np.float64) for name, values in given.items()}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_the_values_are_those_of_the_definition(
    shape: tuple[int, ...], adds: bool, keeps: bool
) -> None:
    given = floats(inputs(0, shape))
    if not adds:
        given["added"][:] = 0
    expected = block(**exact(given))
    y, *z, mean, variance = forward(block_input(given, adds=adds), keeps=keeps)
    assert len(z) == keeps
    for found, right in zip((y, *(z or expected[1:2])), expected, strict=False):
        assert np.abs(found - right).max() < 2e-6 * np.abs(right).max()
    assert np.allclose(mean, expected[2], atol=1e-6)
    assert np.allclose(variance, expected[3], rtol=1e-6)


def test_the_gradient_is_that_of_finite_differences() -> None:
    given = inputs(1)
    random = np.random.default_rng(2)
    weights = random.normal(size=given["x"].shape), random.normal(size=given["x"].shape)
    expected = gradient_by_differences(exact(floats(given)), weights)
    for name, found in gradients(floats(given), weights).items():
        error = np.linalg.norm(found - expected[name]) / np.linalg.norm(expected[name])
        assert error < 1e-6, (name, error)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("adds", [True, False])
@pytest.mark.parametrize("keeps", [True, False])
def test_the_gradient_of_many_pieces_is_that_of_the_definition(
    shape: tuple[int, ...], adds: bool, keeps: bool
) -> None:
    given = floats(inputs(8, shape))
    if not adds:
        given["added"][:] = 0
    random = np.random.default_rng(9)
    dy, dz = (random.normal(size=shape).astype(np.float32) for _ in range(2))
    if not keeps:
        dz[:] = 0
    expected = block_gradient(exact(given), dy.astype(np.float64), dz.astype(np.float64))
    argument = block_input(given, adds=adds)
    *_, mean, variance = forward(argument, keeps=keeps)
    found = backward(argument, mean, variance, dy, dz if keeps else None)
    assert len(found) == 3 + adds
    for name, value in zip(("x", "gamma", "beta", "added"), found, strict=False):
        error = np.linalg.norm(value - expected[name]) / np.linalg.norm(expected[name])
        assert error < 2e-6, (name, error)


def test_the_formula_of_the_gradient_is_that_of_finite_differences() -> None:
    given, random = inputs(10), np.random.default_rng(11)
    weights = random.normal(size=given["x"].shape), random.normal(size=given["x"].shape)
    expected = gradient_by_differences(given, weights)
    for name, found in block_gradient(given, *weights).items():
        assert np.allclose(found, expected[name], rtol=1e-6, atol=1e-7), name


def block_input(given: dict[str, Floats], *, adds: bool = True) -> BlockInput:
    added = given["added"] if adds else None
    return BlockInput(given["x"], given["gamma"], given["beta"], added, EPSILON)


def gradients(given: dict[str, Floats], weights: Any) -> dict[str, Floats]:
    argument = block_input(given)
    *_, mean, variance = forward(argument, keeps=True)
    found = backward(argument, mean, variance, *(w.astype(np.float32) for w in weights))
    return dict(zip(("x", "gamma", "beta", "added"), found, strict=True))


def test_a_gradient_without_addition_is_the_same_without_a_copy() -> None:
    given = floats(inputs(3, (40, 9, 30)))
    given["added"][:] = 0
    random = np.random.default_rng(4)
    weights = random.normal(size=given["x"].shape), np.zeros(given["x"].shape)
    expected = gradients(given, weights)
    argument = block_input(given, adds=False)
    *_, mean, variance = forward(argument, keeps=False)
    found = backward(argument, mean, variance, weights[0].astype(np.float32), None)
    assert len(found) == 3
    for name, value in zip(("x", "gamma", "beta"), found, strict=True):
        assert np.array_equal(value, expected[name]), name


@pytest.mark.parametrize("size", [6 * PIECE, 6 * PIECE + 6 * 7, 6])
def test_the_pieces_cover_an_array_once(size: int) -> None:
    layout = Layout(size, 6)
    seen = np.zeros(size, np.int64)
    for number, (own, part, width) in enumerate(layout.pieces):
        assert own == number
        assert width % 6 == 0
        assert (part.stop - part.start) % width == 0
        seen[part] += 1
    assert (seen == 1).all()
    assert layout.width <= ROW


def test_threads_change_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    given = floats(inputs(5, (50, 31, 17, 24)))
    assert len(Layout(given["x"].size, 24).pieces) > 4
    random = np.random.default_rng(6)
    weights = random.normal(size=given["x"].shape), random.normal(size=given["x"].shape)
    results = []
    with ThreadPoolExecutor(3) as pool:
        for threads in (None, pool):
            monkeypatch.setattr(pieces, "_threads", lambda threads=threads: threads)
            results.append(gradients(given, weights))
    for name, value in results[0].items():
        assert np.array_equal(value, results[1][name]), name


def test_a_mean_far_from_zero_costs_no_digits() -> None:
    given = inputs(7, (64, 8, 8))
    given["x"] = 1000.0 + given["x"]
    narrow = floats(given)
    *_, variance = forward(block_input(narrow), keeps=False)
    assert np.allclose(variance, narrow["x"].astype(np.float64).var((0, 1)), rtol=1e-5)


@pytest.mark.parametrize("at", [-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4])
def test_mish_and_its_gradient_are_finite_everywhere(at: float) -> None:
    x = np.asarray([[at], [at + 1.0]], np.float32)
    one = np.ones(1, np.float32)
    argument = BlockInput(x, one, one * np.float32(at), None, EPSILON)
    y, mean, variance = forward(argument, keeps=False)
    found = backward(argument, mean, variance, y, None)
    assert all(np.isfinite(values).all() for values in (y, *found))


@pytest.mark.parametrize("at", [-1e4, -100.0, -20.0, -1.0, 0.0, 1.0, 20.0, 100.0, 1e4])
def test_mish_and_its_slope_have_their_values_everywhere(at: float) -> None:
    """With gamma = 0 the normalised values are beta, and the gradient of beta is the slope."""
    x, gamma = np.asarray([[-1.0], [1.0]], np.float32), np.zeros(1, np.float32)
    argument = BlockInput(x, gamma, np.full(1, at, np.float32), None, EPSILON)
    y, mean, variance = forward(argument, keeps=False)
    one = np.asarray([[1.0], [0.0]], np.float32)
    _, _, d_beta = backward(argument, mean, variance, one, None)
    inner = np.tanh(np.logaddexp(0, at))
    assert y == pytest.approx(at * inner, rel=1e-6, abs=1e-30)
    slope = inner + at * (1 - inner**2) * np.exp(-np.logaddexp(0, -at))
    assert d_beta == pytest.approx(slope, rel=2e-6, abs=1e-30)


def test_values_that_are_not_finite_stay_visible() -> None:
    x: NDArray[np.float32] = np.ones((8, 4), np.float32)
    x[3, 2] = np.nan
    with np.errstate(all="ignore"):
        argument = BlockInput(x, *np.ones((2, 4), np.float32), None, EPSILON)
        y, _, _ = forward(argument, keeps=False)
    assert np.isnan(y[:, 2]).all()
    assert np.isfinite(y[:, [0, 1, 3]]).all()
