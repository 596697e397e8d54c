"""Random draws of one clip after another: those of numpy's default generator, compiled.

A generator of numpy takes 40 us to create and 4 us per number, more than mixing a clip does. Here
one object is seeded again for each clip. Seeds and numbers are those of `numpy.random.default_rng`
(`SeedSequence`, `PCG64`, and Lemire's method for whole numbers), bit for bit.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import compiled

POOL: Final = 4
"""Words of a seed's pool, 32 bits each."""
_LOW: Final = np.uint64(0xFFFFFFFF)
_U32: Final = np.uint64(32)
_ONE: Final = np.uint64(1)
_MULTIPLIER: Final = (np.uint64(2549297995355413924), np.uint64(4865540595714422341))
"""PCG64's multiplier: upper and lower 64 bits."""
_STATE, _INCREMENT, _SPARE, _HAS_SPARE = 0, 2, 4, 5
"""Places in a state, (6,) uint64: two of 128 bits, and the unused half of the last number."""


class Draws:
    """A random generator that is seeded per clip.

    Args:
        seed: Not negative.
        stream: Distinguishes generators of the same seed; not negative.
    """

    def __init__(self, seed: int, stream: int) -> None:
        self._prefix = [*_words(seed), *_words(stream)]
        self._state = np.zeros(6, np.uint64)

    def begin(self, number: int) -> None:
        """Continue as `numpy.random.default_rng((seed, stream, number))` begins."""
        _seed(np.array([*self._prefix, *_words(number)], np.uint64), self._state)

    def integer(self, low: int, high: int) -> int:
        """Return a whole number from `low` to `high` - 1, of at most 2**32 - 1 possible ones."""
        return low + int(_below(self._state, high - low))

    def uniform(self, low: float, high: float) -> float:
        """Return a number from `low` to below `high`."""
        return low + (high - low) * float(_fraction(self._state))

    def permutation(self, count: int) -> NDArray[np.int64]:
        """Return the numbers from 0 to `count` - 1 in random order."""
        numbers = np.arange(count)
        _shuffle(self._state, numbers)
        return numbers


def _words(number: int) -> list[int]:
    """Return a number as words of 32 bits, the lowest first.

    Examples:
        >>> _words(0), _words(2**32 + 5)
        ([0], [5, 1])
    """
    words = [number & 0xFFFFFFFF]
    while number := number >> 32:
        words.append(number & 0xFFFFFFFF)
    return words


@compiled
def _advance(state: NDArray[np.uint64]) -> None:
    """Multiply the state of 128 bits and add the increment."""
    high, low = state[_STATE], state[_STATE + 1]
    by_high, by_low = _MULTIPLIER
    a, b, c, d = low >> _U32, low & _LOW, by_low >> _U32, by_low & _LOW
    middle = a * d + ((b * d) >> _U32)
    other = b * c + (middle & _LOW)
    carried = a * c + (middle >> _U32) + (other >> _U32)
    product = low * by_low
    total = product + state[_INCREMENT + 1]
    state[_STATE] = (
        carried + high * by_low + low * by_high + state[_INCREMENT]
        + (_ONE if total < product else np.uint64(0))
    )  # fmt: skip
    state[_STATE + 1] = total


@compiled
def _seed(words: NDArray[np.uint64], state: NDArray[np.uint64]) -> None:
    """Set the state as `PCG64(SeedSequence(words))` does."""
    pool = np.zeros(POOL, np.uint64)
    factor, shift = np.uint64(0x43B0D7E5), np.uint64(16)
    grow, left, right = np.uint64(0x931E8875), np.uint64(0xCA01F9DD), np.uint64(0x4973F715)
    # First the words fill the pool, then each place is mixed into the others, then the other words.
    for step in range(POOL + POOL * POOL + POOL * max(0, len(words) - POOL)):
        source, target = step // POOL - 1, step % POOL
        if source < 0:
            value = words[target] if target < len(words) else np.uint64(0)
        elif source < POOL:
            if source == target:
                continue
            value = pool[source]
        else:
            value = words[source]
        value = value ^ factor
        factor = (factor * grow) & _LOW
        value = (value * factor) & _LOW
        value = value ^ (value >> shift)
        if source >= 0:
            value = (left * pool[target] - right * value) & _LOW
            value = value ^ (value >> shift)
        pool[target] = value
    factor, grow = np.uint64(0x8B51F9DD), np.uint64(0x58F38DED)
    seeds = np.zeros(POOL, np.uint64)
    for half in range(2 * POOL):
        value = pool[half % POOL] ^ factor
        factor = (factor * grow) & _LOW
        value = (value * factor) & _LOW
        value = value ^ (value >> shift)
        seeds[half // 2] |= value << (_U32 * np.uint64(half % 2))
    state[:] = 0
    state[_INCREMENT] = (seeds[2] << _ONE) | (seeds[3] >> np.uint64(63))
    state[_INCREMENT + 1] = (seeds[3] << _ONE) | _ONE
    _advance(state)
    low = state[_STATE + 1] + seeds[1]
    state[_STATE] += seeds[0] + (_ONE if low < seeds[1] else np.uint64(0))
    state[_STATE + 1] = low
    _advance(state)


@compiled
def _next(state: NDArray[np.uint64]) -> np.uint64:
    """Return 64 random bits."""
    _advance(state)
    high, low = state[_STATE], state[_STATE + 1]
    mixed, turn = high ^ low, high >> np.uint64(58)
    return (mixed >> turn) | (mixed << ((np.uint64(64) - turn) & np.uint64(63)))  # type: ignore[no-any-return]


@compiled
def _half(state: NDArray[np.uint64]) -> np.uint64:
    """Return 32 random bits; the other half of 64 is kept for the next call."""
    if state[_HAS_SPARE]:
        state[_HAS_SPARE] = 0
        return state[_SPARE]  # type: ignore[no-any-return]
    both = _next(state)
    state[_SPARE], state[_HAS_SPARE] = both >> _U32, 1
    return both & _LOW  # type: ignore[no-any-return]


@compiled
def _below(state: NDArray[np.uint64], count: int) -> int:
    """Return a number from 0 to `count` - 1 by Lemire's method."""
    if count == 1:
        return 0
    wide = np.uint64(count)
    threshold = (_LOW - (wide - _ONE)) % wide
    product = _half(state) * wide
    while product & _LOW < threshold:
        product = _half(state) * wide
    return np.int64(product >> _U32)  # type: ignore[return-value]


@compiled
def _fraction(state: NDArray[np.uint64]) -> float:
    """Return a number from 0 to below 1."""
    return np.float64(_next(state) >> np.uint64(11)) * 2.0**-53


@compiled
def _shuffle(state: NDArray[np.uint64], numbers: NDArray[np.int64]) -> None:
    """Exchange each place with one before it or itself; numpy draws these with a mask of bits."""
    for last in range(len(numbers) - 1, 0, -1):
        mask = np.uint64(last)
        for shift in (1, 2, 4, 8, 16):
            mask |= mask >> np.uint64(shift)
        chosen = _half(state) & mask
        while chosen > last:
            chosen = _half(state) & mask
        other = np.int64(chosen)
        numbers[last], numbers[other] = numbers[other], numbers[last]
