"""The fused block and its gradient on NumPy arrays, piece by piece."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import one_compiler
from overlap.training.engine.block_loops import (
    activate,
    add_moments,
    gradient,
    input_gradient,
)
from overlap.training.engine.pieces import Floats, Layout, empty_like, for_each, layout, rows_of

ORIGIN_POSITIONS: Final = 64
"""Positions whose mean is subtracted before the squares are summed."""


@dataclass(frozen=True, eq=False)
class BlockInput:
    """What a block is computed from."""

    x: Floats
    """(clips, …, channels) output of a linear layer without its bias."""
    gamma: Floats
    """(channels,) standard deviation of the normalised values."""
    beta: Floats
    """(channels,) mean of the normalised values."""
    added: Floats | None
    """What is added to the normalised values, in the shape of x; None: nothing."""
    epsilon: float
    """Added to the variance."""

    @property
    def layout(self) -> Layout:
        """The pieces of x."""
        return layout(self.x.size, self.x.shape[-1])


def compile_loops() -> None:
    """Compile the loops before the first step; of processes that start together, one compiles."""
    x, one = np.zeros((2, 1), np.float32), np.ones(1, np.float32)
    with one_compiler("block"):
        for keeps, added in ((True, None), (False, None), (False, x)):
            block = BlockInput(x, one, one, added, 1.0)
            *_, mean, variance = forward(block, keeps=keeps)
            backward(block, mean, variance, x, x if keeps else None)


def forward(block: BlockInput, *, keeps: bool) -> tuple[Floats, ...]:
    """Return mish(normalised + added) with the statistics of the batch.

    Args:
        block: The block.
        keeps: Whether the normalised values are returned too.

    Returns:
        The activation, then the normalised values if wanted, both like x, and mean and variance,
        (channels,).
    """
    x, over = block.x, block.layout
    start = x.reshape(-1, over.channels)[:ORIGIN_POSITIONS].mean(axis=0)
    origin, sums = over.repeated(start)[0], over.new_sums()

    def count(number: int, part: slice, width: int) -> None:
        add_moments(rows_of(x, part, width), origin[:width], *sums[number, :, :width])

    for_each(over.pieces, count)
    first, second = over.total(sums) / over.count
    mean, variance = start + first, np.maximum(second - first**2, 0.0)
    parameters = over.repeated(mean, block.gamma * _inverse(variance, block.epsilon), block.beta)
    y, z = empty_like(x), empty_like(x) if keeps else None

    def write(_number: int, part: slice, width: int) -> None:
        given, added, out, kept = (rows_of(array, part, width) for array in (x, block.added, y, z))
        activate(given, added, *parameters[:, :width], out, kept)

    for_each(over.pieces, write)
    statistics = mean.astype(np.float32), variance.astype(np.float32)
    return (y, *statistics) if z is None else (y, z, *statistics)


def backward(
    block: BlockInput, mean: Floats, variance: Floats, dy: Floats, dz: Floats | None
) -> tuple[Floats, ...]:
    """Return the gradients at x, gamma and beta, and at `added` unless it is None.

    Args:
        block: The block.
        mean: Result of `forward`.
        variance: Result of `forward`.
        dy: Gradient at the activation, like x.
        dz: Gradient at the normalised values, like x; None where they are not returned.
    """
    x, over, inverse = block.x, block.layout, _inverse(variance, block.epsilon)
    scale = block.gamma * inverse
    parameters = over.repeated(mean, scale, block.beta)
    total, sums = empty_like(x), over.new_sums()

    def count(number: int, part: slice, width: int) -> None:
        given = (rows_of(array, part, width) for array in (x, block.added, dy, dz))
        out = rows_of(total, part, width), *sums[number, :, :width]
        gradient(*given, *parameters[:, :width], *out)

    for_each(over.pieces, count)
    d_beta, products = over.total(sums)
    d_gamma = products * inverse
    slope, level = -scale * inverse * d_gamma / over.count, -scale * d_beta / over.count
    coefficients = over.repeated(mean, scale, slope, level)
    dx = None if block.added is None else empty_like(x)

    def write(_number: int, part: slice, width: int) -> None:
        given, changed, out = (rows_of(array, part, width) for array in (x, total, dx))
        input_gradient(given, changed, *coefficients[:, :width], out)

    for_each(over.pieces, write)
    small = d_gamma.astype(np.float32), d_beta.astype(np.float32)
    if dx is None:
        return (total, *small)
    # No network here both keeps and adds in one block; the operation of JAX can do it, too.
    return dx, *small, total if dz is None else total - dz


def _inverse(variance: NDArray[np.floating], epsilon: float) -> NDArray[np.float64]:
    return 1 / np.sqrt(variance.astype(np.float64) + epsilon)
