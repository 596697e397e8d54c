"""Draws per clip are those of numpy's default generator."""

import numpy as np
import pytest

from overlap.synthetic.draws import Draws


@pytest.mark.parametrize("seed", [0, 1, 20261129, 2**32 - 1, 2**32, 2**70 + 3])
@pytest.mark.parametrize("stream", [0, 1])
def test_draws_equal_those_of_numpy(seed: int, stream: int) -> None:
    draws = Draws(seed, stream)
    for number in (0, 1, 109_999, 2**32 + 7):
        draws.begin(number)
        other = np.random.default_rng((seed, stream, number))
        for turn in range(40):
            assert draws.permutation(turn).tolist() == other.permutation(turn).tolist()
            assert draws.integer(0, turn + 1) == other.integers(turn + 1)
            assert draws.uniform(-5.0, 5.0) == other.uniform(-5.0, 5.0)
            assert draws.integer(-turn, 3 * turn + 1) == other.integers(-turn, 3 * turn + 1)
            # As many attempts are refused as are accepted.
            assert draws.integer(0, 2**31 + 1) == other.integers(2**31 + 1)
