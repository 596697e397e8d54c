"""The fused block and its gradient on NumPy arrays: pieces, threads and sums.

An array is divided into pieces whose size depends on nothing but its shape. The sums of the pieces
are added in their order in float64, so that the result depends neither on the number of threads nor
on which of them is first.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, lru_cache
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import one_compiler
from overlap.system.resources.sharing import share_of_processors
from overlap.training.engine.block_loops import (
    activate,
    add_moments,
    gradient,
    input_gradient,
)

Floats = NDArray[np.float32]
Pieces = list[tuple[int, slice, int]]
ROW: Final = 512
"""Values of a row at least: enough for the vector registers where a layer has few channels."""
PIECE: Final = 2**17
"""Values of a piece: half a megabyte, and few enough for sums in float32."""
ORIGIN_POSITIONS: Final = 64
"""Positions whose mean is subtracted before the squares are summed."""
ALIGNMENT: Final = 64
"""Bytes. TensorFlow copies an array that begins elsewhere."""


@dataclass(frozen=True)
class Layout:
    """The pieces of an array whose last axis is the channels."""

    size: int
    """Values of the array."""
    channels: int

    @property
    def count(self) -> int:
        """Positions: values per channel."""
        return self.size // self.channels

    @cached_property
    def width(self) -> int:
        """Values of a row."""
        return self.channels * max(1, ROW // self.channels)

    @cached_property
    def pieces(self) -> Pieces:
        """Number, part and width of the rows of each piece; the last may be one shorter row."""
        whole = self.size - self.size % self.width
        ends = [*range(0, whole, self.width * max(1, PIECE // self.width)), whole]
        parts = [(slice(*part), self.width) for part in pairwise(ends)]
        if rest := self.size - whole:
            parts.append((slice(whole, self.size), rest))
        return [(number, *part) for number, part in enumerate(parts)]

    def repeated(self, *values: NDArray[np.floating]) -> Floats:
        """Return the (values, width) float32 parameters of a row of (channels,) values."""
        rows = np.empty((len(values), self.width // self.channels, self.channels), np.float32)
        for row, one in zip(rows, values, strict=True):
            row[:] = one
        return rows.reshape(len(values), -1)

    def new_sums(self) -> Floats:
        """Return (pieces, 2, width) zeros."""
        return np.zeros((len(self.pieces), 2, self.width), np.float32)

    def total(self, sums: Floats) -> NDArray[np.float64]:
        """Return the (2, channels) totals of the sums of all pieces."""
        by_channel = sums.reshape(len(sums), 2, -1, self.channels)
        totals: NDArray[np.float64] = by_channel.sum(axis=(0, 2), dtype=np.float64)
        return totals


@cache
def layout(size: int, channels: int) -> Layout:
    """Return the layout of an array of this size; a training has few of them."""
    return Layout(size, channels)


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
        add_moments(_rows(x, part, width), origin[:width], *sums[number, :, :width])

    _for_each(over.pieces, count)
    first, second = over.total(sums) / over.count
    mean, variance = start + first, np.maximum(second - first**2, 0.0)
    parameters = over.repeated(mean, block.gamma * _inverse(variance, block.epsilon), block.beta)
    y, z = _like(x), _like(x) if keeps else None

    def write(_number: int, part: slice, width: int) -> None:
        given, added, out, kept = (_rows(array, part, width) for array in (x, block.added, y, z))
        activate(given, added, *parameters[:, :width], out, kept)

    _for_each(over.pieces, write)
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
    total, sums = _like(x), over.new_sums()

    def count(number: int, part: slice, width: int) -> None:
        given = (_rows(array, part, width) for array in (x, block.added, dy, dz))
        out = _rows(total, part, width), *sums[number, :, :width]
        gradient(*given, *parameters[:, :width], *out)

    _for_each(over.pieces, count)
    d_beta, products = over.total(sums)
    d_gamma = products * inverse
    slope, level = -scale * inverse * d_gamma / over.count, -scale * d_beta / over.count
    coefficients = over.repeated(mean, scale, slope, level)
    dx = None if block.added is None else _like(x)

    def write(_number: int, part: slice, width: int) -> None:
        given, changed, out = (_rows(array, part, width) for array in (x, total, dx))
        input_gradient(given, changed, *coefficients[:, :width], out)

    _for_each(over.pieces, write)
    small = d_gamma.astype(np.float32), d_beta.astype(np.float32)
    if dx is None:
        return (total, *small)
    return dx, *small, total if dz is None else total - dz


def _inverse(variance: NDArray[np.floating], epsilon: float) -> NDArray[np.float64]:
    return 1 / np.sqrt(variance.astype(np.float64) + epsilon)


def _rows(array: Floats | None, part: slice, width: int) -> Floats | None:
    return None if array is None else array.reshape(-1)[part].reshape(-1, width)


def _like(x: Floats) -> Floats:
    """Return an uninitialised array in the shape of x, which begins at a cache line."""
    raw = np.empty(x.nbytes + ALIGNMENT, np.uint8)
    start = -raw.ctypes.data % ALIGNMENT
    return raw[start : start + x.nbytes].view(np.float32).reshape(x.shape)


def _for_each(pieces: Pieces, work: Callable[[int, slice, int], None]) -> None:
    """Call with number, part and width of every piece, in as many threads as this process has."""
    pool = _threads() if len(pieces) > 1 else None
    if pool is None:
        for piece in pieces:
            work(*piece)
    else:
        for done in [pool.submit(work, *piece) for piece in pieces]:
            done.result()


@lru_cache(maxsize=1)
def _threads() -> ThreadPoolExecutor | None:
    """Return the threads of this process; None: there is one."""
    count = share_of_processors()
    return None if count == 1 else ThreadPoolExecutor(count, thread_name_prefix="block")
