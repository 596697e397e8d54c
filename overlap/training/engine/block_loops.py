"""Compiled loops of the fused block: normalise, add, activate, and their gradients.

Arrays are float32. Those of activations are (rows, width), where a row holds one or several
positions with all their channels. Parameters and sums are (width,), the channels repeated, so that
also a layer of a few channels fills the processor's vector registers. An optional array is None,
for which Numba compiles a loop of its own.

Mish (Misra, 2019) needs one exponential: with n = exp(z) and u = n (n + 2),

    mish(z)  = z tanh(log(1 + n)) = z u / (u + 2)
    mish'(z) = u / (u + 2) + 4 z n (n + 1) / (u + 2)^2
"""

import math
from typing import Any

import numpy as np
from numpy.polynomial import Chebyshev, Polynomial
from numpy.typing import NDArray

from overlap.system.jit import compiled_loop

Floats = NDArray[np.float32]
DEGREE = 6
LOWEST, HIGHEST = np.float32(-87.0), np.float32(20.0)
"""Arguments at which the exponential stops: its smallest normal value, and where mish(z) = z."""
LOG2_E = np.float32(math.log2(math.e))
ROUNDING = np.float32(1.5 * 2**23)
"""A float32 that large has no binary places, so that a sum with it is rounded to an integer, which
is in the last bits of the sum."""
ONE = np.int32(127 << 23)
"""The bits of 1.0: the exponent's bias."""


def _power_of_two() -> tuple[np.float32, ...]:
    """Approximate 2**f, f in [-1/2, 1/2], by a polynomial, lowest power first.

    Chebyshev interpolation of degree 6: the error is below 1e-8, less than half a unit in the last
    place of float32.
    """
    interpolated = Chebyshev.interpolate(np.exp2, DEGREE, [-0.5, 0.5])
    return tuple(map(np.float32, interpolated.convert(kind=Polynomial).coef))


P0, P1, P2, P3, P4, P5, P6 = _power_of_two()
TWO, FOUR, UNIT = np.float32(2), np.float32(4), np.float32(1)


@compiled_loop
def _exponential(z: Any) -> Any:  # noqa: ANN401  compiled for float32
    """Return exp(z) = 2**whole * 2**part, part in [-1/2, 1/2]."""
    octaves = max(min(z, HIGHEST), LOWEST) * LOG2_E
    rounded = np.float32(octaves + ROUNDING)
    part = octaves - (rounded - ROUNDING)
    value = P0 + part * (P1 + part * (P2 + part * (P3 + part * (P4 + part * (P5 + part * P6)))))
    return value * np.int32((rounded.view(np.int32) << np.int32(23)) + ONE).view(np.float32)


@compiled_loop
def _mish(z: Any) -> Any:  # noqa: ANN401
    n = _exponential(z)
    u = n * (n + TWO)
    return z * (u / (u + TWO))


@compiled_loop
def _mish_gradient(z: Any) -> Any:  # noqa: ANN401
    n = _exponential(z)
    u = n * (n + TWO)
    inverse = UNIT / (u + TWO)
    return u * inverse + z * (FOUR * n * (n + UNIT) * inverse * inverse)


@compiled_loop
def add_moments(x: Floats, origin: Floats, sums: Floats, squares: Floats) -> None:
    """Add x - origin to the sums, and its square to the squares.

    Args:
        x: (rows, width) inputs.
        origin: A value near the mean, which keeps the difference of squares exact.
        sums: Is changed.
        squares: Is changed.
    """
    for m in range(x.shape[0]):
        row = x[m]
        for c in range(x.shape[1]):
            centred = row[c] - origin[c]
            sums[c] += centred
            squares[c] += centred * centred


@compiled_loop
def activate(
    x: Floats,
    added: Floats | None,
    mean: Floats,
    scale: Floats,
    beta: Floats,
    y: Floats,
    z: Floats | None,
) -> None:
    """Write y = mish(normalised + added), and the normalised values to z.

    Args:
        x: (rows, width) inputs.
        added: What is added, like x; None: nothing.
        mean: Mean of the batch.
        scale: gamma / standard deviation.
        beta: Mean of the normalised values.
        y: Output, like x.
        z: Output, like x; None: it is not wanted.
    """
    for m in range(x.shape[0]):
        for c in range(x.shape[1]):
            value = (x[m, c] - mean[c]) * scale[c] + beta[c]
            if z is not None:
                z[m, c] = value
            if added is not None:
                value += added[m, c]
            y[m, c] = _mish(value)


@compiled_loop
def gradient(  # noqa: PLR0913, PLR0917
    x: Floats,
    added: Floats | None,
    dy: Floats,
    dz: Floats | None,
    mean: Floats,
    scale: Floats,
    beta: Floats,
    total: Floats,
    sums: Floats,
    products: Floats,
) -> None:
    """Write the gradient at the normalised values, and add what those of the parameters need.

    Args:
        x: (rows, width) inputs.
        added: What was added, like x; None: nothing.
        dy: Gradient at the activation, like x.
        dz: Further gradient at the normalised values, like x; None: none.
        mean: Mean of the batch.
        scale: gamma / standard deviation.
        beta: Mean of the normalised values.
        total: Output, like x.
        sums: The sums over the rows are added to it.
        products: Those of the products with x - mean are added to it.
    """
    for m in range(x.shape[0]):
        for c in range(x.shape[1]):
            centred = x[m, c] - mean[c]
            value = centred * scale[c] + beta[c]
            if added is not None:
                value += added[m, c]
            slope = dy[m, c] * _mish_gradient(value)
            if dz is not None:
                slope += dz[m, c]
            total[m, c] = slope
            sums[c] += slope
            products[c] += slope * centred


@compiled_loop
def input_gradient(
    x: Floats,
    total: Floats,
    mean: Floats,
    scale: Floats,
    slope: Floats,
    level: Floats,
    dx: Floats | None,
) -> None:
    """Write scale total + slope (x - mean) + level.

    Args:
        x: (rows, width) inputs.
        total: Gradient at the normalised values, like x.
        mean: Mean of the batch.
        scale: gamma / standard deviation.
        slope: What the gradient of the variance contributes.
        level: What that of the mean contributes.
        dx: Output, like x; None: it replaces `total`. LLVM would not use vector instructions if the
            same array were given twice.
    """
    for m in range(x.shape[0]):
        for c in range(x.shape[1]):
            value = scale[c] * total[m, c] + slope[c] * (x[m, c] - mean[c]) + level[c]
            if dx is None:
                total[m, c] = value
            else:
                dx[m, c] = value
