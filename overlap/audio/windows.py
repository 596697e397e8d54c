"""Where the windows of a recording start, and at which distances."""

from typing import Final

from overlap.errors import ConfigError

IGNORED_TAIL: Final = 0.01
"""Part of a window at the end of a recording that needs no window of its own."""


def hop_error(hop_seconds: float, least: float, length: float) -> ConfigError:
    """Return the error of a hop, s, that is not between `least` and the length of a window, s."""
    return ConfigError(
        f"a hop of {hop_seconds:g} s is not possible; choose one from {least:.2g} s to "
        f"{length:g} s, the length of a window",
        code="hop-out-of-range",
        field="hop_seconds",
        limit=length,
    )


def window_starts(total: int, length: int, hop: int) -> list[int]:
    """Return the starts of the windows of a recording.

    Windows start at every multiple of the hop. The last window ends with the recording, unless the
    windows before it leave out less than `IGNORED_TAIL` of a window. A recording that is shorter
    than a window is one window.

    Args:
        total: Length of the recording, in any unit.
        length: Length of a window.
        hop: From the start of a window to that of the next, from 1 to `length`.

    Examples:
        >>> window_starts(3500, 1000, 500), window_starts(3600, 1000, 500)
        ([0, 500, 1000, 1500, 2000, 2500], [0, 500, 1000, 1500, 2000, 2500, 2600])
        >>> window_starts(3509, 1000, 1000), window_starts(600, 1000, 1000)
        ([0, 1000, 2000, 2509], [0])
    """
    starts = [*range(0, total - length + 1, hop)] or [0]
    if total - (starts[-1] + length) >= max(1, IGNORED_TAIL * length):
        starts.append(total - length)
    return starts
