"""Draws from raw numbers against those of numpy's generator."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from overlap.synthetic.draws import EXHAUSTED, STATE, TAKEN, below, draw_recordings, fraction

KINDS = st.one_of(st.none(), st.integers(1, 5), st.integers(1, 2**32 - 1))


def raw_numbers(seed: int, count: int = 400) -> np.ndarray:
    return np.random.PCG64(seed).random_raw(count)


@given(st.integers(0, 2**64), st.lists(KINDS, max_size=40))
def test_numbers_are_those_of_the_generator(seed: int, limits: list[int | None]) -> None:
    """Integers of 32 bits leave a half for the next one, also with a fraction between them."""
    random = np.random.Generator(np.random.PCG64(seed))
    raw, state = raw_numbers(seed), np.zeros(STATE, np.uint64)
    for limit in limits:
        if limit is None:
            assert fraction(raw, state) == random.random()
        else:
            assert below(limit, raw, state) == random.integers(limit)


@given(st.integers(0, 2**64), st.integers(1, 40), st.integers(1, 6), st.integers(6, 12))
def test_recordings_are_those_of_the_generator(
    seed: int, words: int, words_per_clip: int, speakers: int
) -> None:
    words_per_clip = min(words, words_per_clip)
    shape = np.random.default_rng(seed)
    of_word = [
        np.sort(shape.choice(speakers, shape.integers(1, speakers + 1), replace=False))
        for _ in range(words)
    ]
    first_speaker = np.cumsum([0, *map(len, of_word)])
    speaker = np.concatenate(of_word)
    first_take = np.cumsum([0, *shape.integers(1, 4, len(speaker))])
    random = np.random.Generator(np.random.PCG64(seed))
    expected: list[int] = []
    order = np.empty(0, np.int64)
    for _ in range(1000):
        order = random.permutation(words)[:words_per_clip]
        expected, others = [], set[int]()
        for word in order:
            left = [
                place
                for place in range(first_speaker[word], first_speaker[word + 1])
                if speaker[place] not in others
            ]
            if not left:
                break
            place = left[random.integers(len(left))]
            others.add(speaker[place])
            expected.append(
                first_take[place] + random.integers(first_take[place + 1] - first_take[place])
            )
        if len(expected) == words_per_clip:
            break
    state = np.zeros(STATE, np.uint64)
    drawn_words, drawn = np.empty((2, words_per_clip), np.int64)
    raw = raw_numbers(seed, 100_000)
    found = draw_recordings(first_speaker, speaker, first_take, raw, state, drawn_words, drawn)
    assert not state[EXHAUSTED]
    assert found == (len(expected) == words_per_clip)
    if found:
        assert drawn.tolist() == expected
        assert drawn_words.tolist() == order.tolist()


def test_too_few_raw_numbers_are_noticed() -> None:
    """Whether a half was left decides whether the last number is there."""
    for count in range(40):
        raw, state = raw_numbers(3, count), np.zeros(STATE, np.uint64)
        for _ in range(2 * count):
            below(30, raw, state)
        assert (state[TAKEN], state[EXHAUSTED]) == (count, 0)
        below(30, raw, state)
        assert state[EXHAUSTED]


def test_one_recording_needs_no_raw_numbers() -> None:
    arrays = (np.array([0, 1]), np.array([0]), np.array([0, 1]))
    state, drawn = np.zeros(STATE, np.uint64), np.full((2, 1), -1)
    assert draw_recordings(*arrays, raw_numbers(1, 0), state, *drawn)
    assert drawn.tolist() == [[0], [0]]
    assert state.tolist() == [0] * STATE


def test_impossible_words_end_the_draws() -> None:
    """Two words of one speaker cannot be in a clip."""
    arrays = (np.array([0, 1, 2]), np.array([0, 0]), np.array([0, 1, 2]))
    words, drawn = np.empty((2, 2), np.int64)
    for count, exhausted in ((100, 1), (10_000, 0)):
        state = np.zeros(STATE, np.uint64)
        assert not draw_recordings(*arrays, raw_numbers(1, count), state, words, drawn)
        assert state[EXHAUSTED] == exhausted
