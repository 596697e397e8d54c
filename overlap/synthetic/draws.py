"""Draws from the raw numbers of a generator of numpy, compiled.

They are those of the methods of `numpy.random.Generator` (numpy 2), of which each call takes 4 us.
Numpy guarantees that a bit generator gives the same raw numbers in every version, and does not
guarantee it for these methods: a seed gives the same data set with a later numpy, too.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from overlap.system.jit import compiled

TAKEN: Final = 0
"""Index in `state`: raw numbers taken."""
HALF: Final = 1
"""Index in `state`: the upper 32 bits of the last number of which only the lower ones were used."""
HAS_HALF: Final = 2
"""Index in `state`: 1 if they are the next number of 32 bits."""
EXHAUSTED: Final = 3
"""Index in `state`: 1 if there were too few raw numbers, so that what was drawn is meaningless."""
STATE: Final = 4
"""Length of `state`, which begins with zeros."""
ATTEMPTS: Final = 1000
"""How often the words of a clip are drawn until each has a speaker of its own."""
_LOW: Final = np.uint64(2**32 - 1)
_32: Final = np.uint64(32)
_11: Final = np.uint64(11)
_1: Final = np.uint64(1)


@compiled
def _next_64(raw: NDArray[np.uint64], state: NDArray[np.uint64]) -> np.uint64:
    taken = np.int64(state[TAKEN])
    if taken == len(raw):
        state[EXHAUSTED] = 1
        return np.uint64(0)
    state[TAKEN] = taken + 1
    number: np.uint64 = raw[taken]
    return number


@compiled
def _next_32(raw: NDArray[np.uint64], state: NDArray[np.uint64]) -> np.uint64:
    if state[HAS_HALF]:
        state[HAS_HALF] = 0
        half: np.uint64 = state[HALF]
        return half
    number: np.uint64 = _next_64(raw, state)
    state[HAS_HALF], state[HALF] = 1, number >> _32
    return number & _LOW


@compiled
def fraction(raw: NDArray[np.uint64], state: NDArray[np.uint64]) -> float:
    """Draw a number from [0, 1): `Generator.random()`."""
    return np.float64(_next_64(raw, state) >> _11) * 2.0**-53


@compiled
def below(limit: int, raw: NDArray[np.uint64], state: NDArray[np.uint64]) -> int:
    """Draw an integer from 0 to `limit` - 1: `Generator.integers(limit)`, Lemire's method.

    Args:
        limit: From 1 to 2**32 - 1; nothing is drawn for 1.
        raw: Raw numbers of the bit generator.
        state: (STATE,) how many of them are used; changed.
    """
    if limit == 1:
        return 0
    ends = np.uint64(limit)
    product = _next_32(raw, state) * ends
    if product & _LOW < ends:
        threshold = (np.uint64(2**32) - ends) % ends
        while product & _LOW < threshold and not state[EXHAUSTED]:
            product = _next_32(raw, state) * ends
    return np.int64(product >> _32)  # type: ignore[return-value]


@compiled
def _shuffle(values: NDArray[np.int64], raw: NDArray[np.uint64], state: NDArray[np.uint64]) -> None:
    """Shuffle in place: `Generator.shuffle`, whose integers are masked and drawn again."""
    for index in range(len(values) - 1, 0, -1):
        mask = np.uint64(1)
        while mask < np.uint64(index):
            mask = mask << _1 | _1
        other = _next_32(raw, state) & mask
        while other > np.uint64(index):
            other = _next_32(raw, state) & mask
        values[index], values[other] = values[other], values[index]


@compiled
def _is_in(one: int, ascending: NDArray[np.int64]) -> bool:
    start, stop = 0, len(ascending)
    while start < stop:
        middle = (start + stop) // 2
        if ascending[middle] < one:
            start = middle + 1
        else:
            stop = middle
    return start < len(ascending) and ascending[start] == one


@compiled
def _draw_other(
    speakers: NDArray[np.int64],
    taken: NDArray[np.int64],
    raw: NDArray[np.uint64],
    state: NDArray[np.uint64],
) -> int:
    """Return the index of one of `speakers` (ascending) that is not in `taken`, or -1."""
    left = len(speakers)
    for one in taken:
        left -= _is_in(one, speakers)
    if not left:
        return -1
    rank: int = below(left, raw, state)
    # The speaker whose rank among those that are not taken is this: every taken one before it moves
    # it by one place, until none is before it that has not been counted.
    chosen = rank
    while True:
        before = 0
        for one in taken:
            before += one <= speakers[chosen] and _is_in(one, speakers)
        if chosen == rank + before:
            return chosen
        chosen = rank + before


@compiled
def draw_recordings(
    first_speaker: NDArray[np.int64],
    speaker: NDArray[np.int64],
    first_take: NDArray[np.int64],
    raw: NDArray[np.uint64],
    state: NDArray[np.uint64],
    words: NDArray[np.int64],
    recordings: NDArray[np.int64],
) -> bool:
    """Draw different words and a recording of each, all by different speakers.

    The words are drawn again if one of them has no speaker left.

    Args:
        first_speaker: (all words + 1,) where the speakers of each word start in `speaker`.
        speaker: (speakers of words,) number of a speaker; ascending for each word.
        first_take: (speakers of words + 1,) the first recording of each of them.
        raw: Raw numbers of the bit generator.
        state: (STATE,) how many of them are used; changed.
        words: (words of a clip,) receives the words.
        recordings: (words of a clip,) receives the recordings of them.

    Returns:
        Whether `ATTEMPTS` were enough.
    """
    order = np.empty(len(first_speaker) - 1, np.int64)
    speakers = np.empty(len(words), np.int64)
    for _ in range(ATTEMPTS):
        for index in range(len(order)):
            order[index] = index
        _shuffle(order, raw, state)
        drawn = 0
        while drawn < len(words):
            word = order[drawn]
            start, stop = first_speaker[word], first_speaker[word + 1]
            chosen = _draw_other(speaker[start:stop], speakers[:drawn], raw, state)
            if chosen < 0 or state[EXHAUSTED]:
                break
            one = start + chosen
            takes = first_take[one + 1] - first_take[one]
            words[drawn], speakers[drawn] = word, speaker[one]
            recordings[drawn] = first_take[one] + below(takes, raw, state)
            drawn += 1
        if drawn == len(words) or state[EXHAUSTED]:
            return drawn == len(words)
    return False
