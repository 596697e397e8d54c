"""Pools the predictions of a recording's windows into one, without keeping them."""

from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from overlap.errors import ConfigError

WindowPool = Literal["mean", "max", "noisy-or"]
"""How windows are pooled.

- mean: the share of each word over the recording; sums to 1.
- max: the most certain window of each word.
- noisy-or: the probability that at least one window has the word, 1 - prod(1 - p), as if windows
  were independent. It tends to 1 for every word in long recordings.
"""
WINDOW_POOLS: Final[tuple[WindowPool, ...]] = get_args(WindowPool)


def window_pool(name: str) -> WindowPool:
    """Return the way to pool of this name.

    Raises:
        ConfigError: There is none (`unknown-window-pool`).
    """
    for pool in WINDOW_POOLS:
        if pool == name:
            return pool
    raise ConfigError(
        f"{name!r} is no way to pool windows; choose one of {', '.join(WINDOW_POOLS)}",
        code="unknown-window-pool",
        field="pool",
    )


class PooledWindows:
    """Accumulates the windows of one recording.

    Args:
        pool: The way to pool.
        words: Number of words.
    """

    def __init__(self, pool: WindowPool, words: int) -> None:
        self._pool = pool
        self._windows = 0
        self._state = np.ones(words) if pool == "noisy-or" else np.zeros(words)

    def add(self, probabilities: NDArray[np.float64]) -> None:
        """Add a usable window, (words,)."""
        self._windows += 1
        if self._pool == "mean":
            self._state += probabilities
        elif self._pool == "max":
            np.maximum(self._state, probabilities, out=self._state)
        else:
            self._state *= 1 - probabilities

    @property
    def result(self) -> NDArray[np.float64] | None:
        """(words,) float64; None without a usable window."""
        if not self._windows:
            return None
        if self._pool == "mean":
            return self._state / self._windows
        return 1 - self._state if self._pool == "noisy-or" else self._state.copy()
