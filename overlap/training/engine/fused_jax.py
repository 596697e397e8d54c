"""Batch normalisation, addition and mish as one operation of JAX, with its own gradient.

The gradient keeps the input of the normalisation and recomputes everything else, so that the
forward pass writes one array and the backward pass reads two. Statistics are float32 in every
precision. Mish (Misra, 2019) needs one exponential: with n = exp(z) and u = n (n + 2),

    mish(z)  = z tanh(log(1 + n)) = z u / (u + 2)
    mish'(z) = u / (u + 2) + 4 z n (n + 1) / (u + 2)^2
"""

from collections.abc import Callable
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp

Arrays = tuple[jax.Array, ...]
LARGEST = 20.0
"""Argument above which the exponential is not computed: there mish(z) = z in float32."""


def fused_block(
    x: jax.Array,
    parameters: tuple[jax.Array, jax.Array, jax.Array],
    added: jax.Array | None,
    epsilon: float,
    *,
    keeps: bool,
) -> Arrays:
    """Return mish(normalised + added) with the statistics of the batch.

    Args:
        x: (clips, …, channels) output of a linear layer without its bias.
        parameters: gamma, beta and the bias of the linear layer, (channels,) float32.
        added: What is added to the normalised values, in the shape of x; None: nothing.
        epsilon: Added to the variance.
        keeps: Whether the normalised values are returned too.

    Returns:
        The activation, the normalised values (or the activation again), both in the shape and type
        of x, and mean and variance, (channels,) float32. The mean includes the bias, which the
        normalisation removes from everything else; statistics have no gradient.
    """
    operation = _operation(epsilon, added is not None, keeps)
    y, z, mean, variance = operation(x, *parameters, () if added is None else (added,))
    return y, z, jax.lax.stop_gradient(mean), jax.lax.stop_gradient(variance)


@cache
def _operation(epsilon: float, adds: bool, keeps: bool) -> Callable[..., Arrays]:
    """Return the operation for these constants; one function per set, so that JAX caches it."""

    def forward(
        x: jax.Array, gamma: jax.Array, beta: jax.Array, bias: jax.Array, added: Arrays
    ) -> tuple[Arrays, tuple[jax.Array | Arrays, ...]]:
        axes = tuple(range(x.ndim - 1))
        wide = x.astype(jnp.float32)
        mean = jnp.mean(wide, axes)
        variance = jnp.maximum(jnp.mean(wide * wide, axes) - mean * mean, 0.0)
        inverse = jax.lax.rsqrt(variance + epsilon)
        z = _normalised(x, mean, inverse, gamma, beta)
        y = _mish(z + added[0].astype(jnp.float32) if adds else z).astype(x.dtype)
        kept = z.astype(x.dtype) if keeps else y
        return (y, kept, mean + bias, variance), (x, mean, inverse, gamma, beta, added)

    def backward(saved: Any, gradients: Arrays) -> Any:  # noqa: ANN401  as JAX defines it
        # Without the barrier, XLA would keep values of the forward pass instead of computing them.
        x, mean, inverse, gamma, beta, added = jax.lax.optimization_barrier(saved)
        axes, count = tuple(range(x.ndim - 1)), x.size // x.shape[-1]
        z = _normalised(x, mean, inverse, gamma, beta)
        z = z + added[0].astype(jnp.float32) if adds else z
        dz = gradients[0].astype(jnp.float32) * _mish_gradient(z)
        if x.dtype != jnp.float32:
            # Two reductions and dx share this array, which XLA would otherwise store as float32.
            dz = jax.lax.optimization_barrier(dz.astype(x.dtype)).astype(jnp.float32)
        d_added = (dz.astype(x.dtype),) if adds else ()
        if keeps:
            dz = dz + gradients[1].astype(jnp.float32)
        standard = (x.astype(jnp.float32) - mean) * inverse
        d_gamma, d_beta = jnp.sum(dz * standard, axes), jnp.sum(dz, axes)
        dx = (gamma * inverse) * (dz - d_beta / count - standard * (d_gamma / count))
        return dx.astype(x.dtype), d_gamma, d_beta, jnp.zeros_like(beta), d_added

    def operation(
        x: jax.Array, gamma: jax.Array, beta: jax.Array, bias: jax.Array, added: Arrays
    ) -> Arrays:
        return forward(x, gamma, beta, bias, added)[0]

    fused = jax.custom_vjp(operation)
    fused.defvjp(forward, backward)
    return fused


def _normalised(
    x: jax.Array, mean: jax.Array, inverse: jax.Array, gamma: jax.Array, beta: jax.Array
) -> jax.Array:
    return (x.astype(jnp.float32) - mean) * (inverse * gamma) + beta


def _mish(z: jax.Array) -> jax.Array:
    n = jnp.exp(jnp.minimum(z, LARGEST))
    u = n * (n + 2)
    return z * (u / (u + 2))


def _mish_gradient(z: jax.Array) -> jax.Array:
    n = jnp.exp(jnp.minimum(z, LARGEST))
    u = n * (n + 2)
    inverse = 1 / (u + 2)
    return u * inverse + z * (4 * n * (n + 1) * inverse * inverse)
