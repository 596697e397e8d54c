"""In-place complex transforms on registers: radix 4, decimation in frequency, depth first.

`LANES` clips are transformed at once, with the arithmetic of one. A complex number is a pair
(real, imaginary) of registers; point p of an array consists of its registers 2p and 2p + 1.
W(n, p) = exp(-2*pi*i*p/n). Source: Cooley and Tukey, 1965.

A transform of length L is a radix-4 step followed by four transforms of length L/4 on its
quarters, which yield the values k = j mod 4 of the whole transform, j = 0...3. The recursion ends
in leaves of 16 or 8 points, which stay in registers. The schedule (see `constants`) orders the
steps so that each quarter is complete before the next begins: transforms of 256 points and fewer
fit the first-level cache.
"""

import numpy as np
from numba import njit

from overlap.features.kernel.simd import fma, fms, load, load_splat, splat, store

ZERO = np.float32(0)
HALF_ROOT = np.float32(np.sqrt(0.5))
C16, S16 = np.float32(np.cos(np.pi / 8)), np.float32(np.sin(np.pi / 8))


@njit(forceinline=True)
def point(work, p):
    """Load complex number p of an array."""
    return load(work, 2 * p), load(work, 2 * p + 1)


@njit(forceinline=True)
def put(work, p, value):
    """Store complex number p of an array."""
    store(work, 2 * p, value[0])
    store(work, 2 * p + 1, value[1])


@njit(forceinline=True)
def add(a, b):
    """Return the sum of two complex numbers."""
    return a[0] + b[0], a[1] + b[1]


@njit(forceinline=True)
def sub(a, b):
    """Return the difference of two complex numbers."""
    return a[0] - b[0], a[1] - b[1]


@njit(forceinline=True)
def times(a, cos, sin):
    """Return the complex product a * (cos + i sin)."""
    return fms(a[0], cos, a[1] * sin), fma(a[0], sin, a[1] * cos)


@njit(forceinline=True)
def butterfly(a, b, c, d):
    """Return the transform of four points, in natural order."""
    return combine(add(a, c), sub(a, c), add(b, d), sub(b, d))


@njit(forceinline=True)
def combine(sum_even, difference_even, sum_odd, difference_odd):
    """Return the second half of a butterfly; multiplying by -i swaps real and imaginary part."""
    r, i = difference_odd
    return (
        add(sum_even, sum_odd),
        (difference_even[0] + i, difference_even[1] - r),
        sub(sum_even, sum_odd),
        (difference_even[0] - i, difference_even[1] + r),
    )


@njit(forceinline=True)
def put_twiddled(work, p, quarter, values, twiddles, row):
    """Store the four results of a radix-4 step times 1, W(L, p), W(L, p)^2 and W(L, p)^3."""
    put(work, p, values[0])
    w = 6 * row
    put(work, p + quarter, times(values[1], load_splat(twiddles, w), load_splat(twiddles, w + 1)))
    put(
        work,
        p + 2 * quarter,
        times(values[2], load_splat(twiddles, w + 2), load_splat(twiddles, w + 3)),
    )
    put(
        work,
        p + 3 * quarter,
        times(values[3], load_splat(twiddles, w + 4), load_splat(twiddles, w + 5)),
    )


@njit
def radix4(work, offset, length, twiddles, row):
    """Compute one radix-4 step in place, decimation in frequency.

    y_j[p] = W(L, p)^j * sum_q W(4, j*q) x[p + q*L/4],   j, q = 0…3,   p = 0…L/4-1
    """
    quarter = length // 4
    for p in range(offset, offset + quarter):
        values = butterfly(
            point(work, p),
            point(work, p + quarter),
            point(work, p + 2 * quarter),
            point(work, p + 3 * quarter),
        )
        put_twiddled(work, p, quarter, values, twiddles, row + p - offset)


@njit(forceinline=True)
def leaf8(work, offset):
    """Compute the transform of eight points: two of four, even and odd, then W(8, p)."""
    r = splat(HALF_ROOT)
    e0, e1, e2, e3 = butterfly(
        point(work, offset), point(work, offset + 2),
        point(work, offset + 4), point(work, offset + 6),
    )  # fmt: skip
    o0, o1, o2, o3 = butterfly(
        point(work, offset + 1), point(work, offset + 3),
        point(work, offset + 5), point(work, offset + 7),
    )  # fmt: skip
    t1 = ((o1[0] + o1[1]) * r, (o1[1] - o1[0]) * r)
    t3 = ((o3[1] - o3[0]) * r, (o3[1] + o3[0]) * r)  # the imaginary part has the opposite sign
    put(work, offset, add(e0, o0))
    put(work, offset + 1, add(e1, t1))
    put(work, offset + 2, (e2[0] + o2[1], e2[1] - o2[0]))
    put(work, offset + 3, (e3[0] + t3[0], e3[1] - t3[1]))
    put(work, offset + 4, sub(e0, o0))
    put(work, offset + 5, sub(e1, t1))
    put(work, offset + 6, (e2[0] - o2[1], e2[1] + o2[0]))
    put(work, offset + 7, (e3[0] - t3[0], e3[1] + t3[1]))


@njit(forceinline=True)
def quarter16(work, offset, p):
    """Return the butterfly of points p, p + 4, p + 8, p + 12 of sixteen, without twiddles."""
    return butterfly(
        point(work, offset + p), point(work, offset + p + 4),
        point(work, offset + p + 8), point(work, offset + p + 12),
    )  # fmt: skip


@njit(forceinline=True)
def put16(work, offset, j, values):
    """Store values j, j + 4, j + 8, j + 12 of a leaf of sixteen."""
    put(work, offset + j, values[0])
    put(work, offset + j + 4, values[1])
    put(work, offset + j + 8, values[2])
    put(work, offset + j + 12, values[3])


@njit(forceinline=True)
def leaf16(work, offset):
    """Compute the transform of sixteen points: radix 4, times W(16, j*p), radix 4."""
    c, s, r = splat(C16), splat(S16), splat(HALF_ROOT)
    minus_s, minus_c, minus_r = splat(-S16), splat(-C16), splat(-HALF_ROOT)
    a0, a1, a2, a3 = quarter16(work, offset, 0)
    b0, b1, b2, b3 = quarter16(work, offset, 1)
    c0, c1, c2, c3 = quarter16(work, offset, 2)
    d0, d1, d2, d3 = quarter16(work, offset, 3)
    put16(work, offset, 0, butterfly(a0, b0, c0, d0))
    b1, c1, d1 = times(b1, c, minus_s), times(c1, r, minus_r), times(d1, s, minus_c)
    put16(work, offset, 1, butterfly(a1, b1, c1, d1))
    b2, d2 = times(b2, r, minus_r), times(d2, minus_r, minus_r)
    c2 = (c2[1], splat(ZERO) - c2[0])  # W(16, 4) = -i
    put16(work, offset, 2, butterfly(a2, b2, c2, d2))
    b3, c3, d3 = times(b3, s, minus_c), times(c3, minus_r, minus_r), times(d3, minus_c, s)
    put16(work, offset, 3, butterfly(a3, b3, c3, d3))


@njit
def finish(work, schedule, twiddles):
    """Compute all steps after the first, in the order of the schedule."""
    for step in range(len(schedule)):
        offset, length = schedule[step, 0], schedule[step, 1]
        if length == 16:
            leaf16(work, offset)
        elif length == 8:
            leaf8(work, offset)
        else:
            radix4(work, offset, length, twiddles, schedule[step, 2])
