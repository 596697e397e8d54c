"""The fused block as it is defined, in float64, and its gradient by finite differences."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

EPSILON = 1e-3
Array = NDArray[np.float64]
SHAPE = (4, 5, 3, 6)
WIDE = ("gamma", "beta")
"""Arguments that are float32 in every precision."""


def inputs(seed: int = 0, shape: tuple[int, ...] = SHAPE) -> dict[str, Array]:
    """Draw the arguments of a block."""
    random = np.random.default_rng(seed)
    channels = shape[-1]
    return {
        "x": random.normal(0.5, 2.0, shape),
        "gamma": random.uniform(0.5, 1.5, channels),
        "beta": random.normal(0, 1, channels),
        "added": random.normal(0, 1, shape),
    }


def block(x: Array, gamma: Array, beta: Array, added: Array) -> tuple[Array, Array, Array, Array]:
    """Return activation, normalised values, mean and variance as defined, in float64."""
    axes = tuple(range(x.ndim - 1))
    mean, variance = x.mean(axes), x.var(axes)
    z = (x - mean) / np.sqrt(variance + EPSILON) * gamma + beta
    total = z + added
    return total * np.tanh(np.logaddexp(0, total)), z, mean, variance


def block_gradient(given: dict[str, Array], dy: Array, dz: Array) -> dict[str, Array]:
    """Return the gradient of `loss` with these weights at every argument, by its formula."""
    x, gamma = given["x"], given["gamma"]
    axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
    _, z, mean, variance = block(**given)
    total = z + given["added"]
    inner = np.tanh(np.logaddexp(0, total))
    d_added = dy * (inner + total * (1 - inner**2) / (1 + np.exp(-total)))
    slope = d_added + dz
    standard = (x - mean) / np.sqrt(variance + EPSILON)
    d_gamma, d_beta = (slope * standard).sum(axes), slope.sum(axes)
    centred = slope - d_beta / count - standard * d_gamma / count
    dx = gamma / np.sqrt(variance + EPSILON) * centred
    return {"x": dx, "gamma": d_gamma, "beta": d_beta, "added": d_added}


def loss(given: dict[str, Array], weights: tuple[Array, Array]) -> float:
    """Return a weighted sum of activation and normalised values."""
    y, z, _, _ = block(**given)
    return float((weights[0] * y).sum() + (weights[1] * z).sum())


def gradient_by_differences(given: dict[str, Array], weights: tuple[Array, Array]) -> Any:
    """Return the gradient of `loss` at every argument."""
    result = {}
    for name, values in given.items():
        gradient = np.empty_like(values)
        for at in np.ndindex(values.shape):
            sides = []
            for step in (1e-5, -1e-5):
                moved = values.copy()
                moved[at] += step
                sides.append(loss({**given, name: moved}, weights))
            gradient[at] = (sides[0] - sides[1]) / 2e-5
        result[name] = gradient
    return result
