"""The fused block: values and gradients against formulas in float64."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from overlap.training.engine.fused_jax import fused_block
from support.block_definition import (
    EPSILON,
    SHAPE,
    WIDE,
    Array,
    block,
    gradient_by_differences,
    inputs,
)


def fused_gradient(
    given: dict[str, Array], weights: tuple[Array, Array], dtype: Any
) -> dict[str, Array]:
    def fused_loss(arrays: dict[str, jax.Array]) -> jax.Array:
        bias = jnp.zeros(SHAPE[-1], jnp.float32)
        y, z, _, _ = fused_block(
            arrays["x"], (arrays["gamma"], arrays["beta"], bias), arrays["added"], EPSILON,
            keeps=True,
        )  # fmt: skip
        parts = zip(weights, (y, z), strict=True)
        return sum(jnp.sum(jnp.asarray(w, jnp.float32) * v.astype(jnp.float32)) for w, v in parts)  # type: ignore[return-value]

    wide = {name: name in WIDE for name in given}
    arrays = {n: jnp.asarray(v, jnp.float32 if wide[n] else dtype) for n, v in given.items()}
    found = jax.jit(jax.grad(fused_loss))(arrays)
    return {name: np.asarray(value, np.float64) for name, value in found.items()}


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 2e-6), ("bfloat16", 1e-2)])
def test_the_values_are_those_of_the_definition(dtype: str, tolerance: float) -> None:
    given = inputs()
    rounded = {n: np.asarray(jnp.asarray(v, dtype), np.float64) for n, v in given.items()}
    rounded |= {name: given[name] for name in WIDE}
    expected = block(**rounded)
    bias = np.linspace(-1, 1, SHAPE[-1])
    parameters = tuple(jnp.asarray(v, jnp.float32) for v in (given["gamma"], given["beta"], bias))
    found = fused_block(
        jnp.asarray(given["x"], dtype), parameters, jnp.asarray(given["added"], dtype), EPSILON,
        keeps=True,
    )  # fmt: skip
    for name, value, right in zip(("y", "z"), found[:2], expected[:2], strict=True):
        assert value.dtype == dtype
        error = np.abs(np.asarray(value, np.float64) - right).max()
        assert error < tolerance * np.abs(right).max(), name
    assert np.allclose(found[2], expected[2] + bias, atol=2e-6), "the mean includes the bias"
    assert np.allclose(found[3], expected[3], rtol=2e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float32", 1e-5), ("bfloat16", 2e-2)])
def test_the_gradient_is_that_of_finite_differences(dtype: str, tolerance: float) -> None:
    given = inputs(1)
    given = {
        n: v if n in WIDE else np.asarray(jnp.asarray(v, dtype), np.float64)
        for n, v in given.items()
    }
    random = np.random.default_rng(2)
    weights = (random.normal(size=SHAPE), random.normal(size=SHAPE))
    expected = gradient_by_differences(given, weights)
    found = fused_gradient(given, weights, dtype)
    for name, right in expected.items():
        error = np.linalg.norm(found[name] - right) / np.linalg.norm(right)
        assert error < tolerance, (name, error)


def test_a_block_without_addition_returns_the_activation_alone() -> None:
    given = inputs(3)
    expected = block(given["x"], given["gamma"], given["beta"], np.zeros(SHAPE))
    zero = jnp.zeros(SHAPE[-1], jnp.float32)
    parameters = (*(jnp.asarray(given[n], jnp.float32) for n in WIDE), zero)
    x = jnp.asarray(given["x"], jnp.float32)
    y, again, _, _ = fused_block(x, parameters, None, EPSILON, keeps=False)
    assert np.abs(np.asarray(y) - expected[0]).max() < 1e-5
    assert np.array_equal(y, again)


@pytest.mark.parametrize("at", [-1e4, -100.0, -20.0, 0.0, 20.0, 100.0, 1e4])
def test_mish_and_its_gradient_are_finite_everywhere(at: float) -> None:
    x = jnp.asarray([[at], [at + 1.0]], jnp.float32)
    one = jnp.ones(1, jnp.float32)

    def total(x: jax.Array) -> jax.Array:
        return jnp.sum(fused_block(x, (one, one * at, one), None, EPSILON, keeps=False)[0])

    value, gradient = jax.value_and_grad(total)(x)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
